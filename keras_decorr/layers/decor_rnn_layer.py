"""The base class of recurrent layers on decorrelated inputs."""

from typing import Any

from keras import ops

from keras_decorr.backend.keras_internals import replace_weight
from keras_decorr.decorrelators import Decorrelator
from keras_decorr.layers.twin import DecorrelatingTwin
from keras_decorr.typing import Shape, Tensor


class DecorRNNLayer(DecorrelatingTwin):
    """Mixin for a subclass of a recurrent Keras layer, its `twin`.

    The input kernels of all gates see `u = M (x - mean)`, one M for all of them and for all steps. The
    recurrent kernels are as they were: their inputs are the layer's own state.

    Args:
        *args: Those of the twin.
        decorrelator: As in `Decorrelation`. With `None` this layer is its twin.
        **kwargs: Those of the twin.
    """

    cell: Any

    @classmethod
    def reason_against(cls, layer: Any, decorrelator: Decorrelator) -> str | None:
        if decorrelator.acts_on_gradient:
            return "acts_on='gradient': its kernels are read inside Keras's loop over the steps"
        return None

    def build(self, sequences_shape: Shape, initial_state_shape: Any = None) -> None:
        if self.decorrelation is not None:
            self.decorrelation.build(sequences_shape)
        super().build(sequences_shape, initial_state_shape)

    def call(
        self,
        sequences: Tensor,
        initial_state: Any = None,
        mask: Tensor = None,
        training: bool | None = False,
    ) -> Tensor:
        if self.decorrelation is not None:
            sequences = self.decorrelation(sequences, training=training, mask=mask)
        return super().call(sequences, initial_state, mask, training)

    # --- as the owner of one kernel: see DecorLayer -------------------------------------------

    acts_on_gradient = False

    @property
    def kernel(self) -> Any:
        """The kernel of the inputs, of all gates."""
        return self.cell.kernel

    @property
    def bias(self) -> Any:
        """The bias, or `None`; of a GRU with `reset_after` one for inputs and one for the state."""
        return self.cell.bias

    def matrix(self, K: Tensor) -> Tensor:
        """Returns the kernel, which is a matrix."""
        return K

    of_matrix = matrix

    def fold(self, K: Tensor) -> Tensor:
        """Computes the kernel that acts on raw inputs, `M^T K`."""
        return self.decorrelation.fold(K)

    def shift(self, mean: Tensor, K: Tensor) -> Tensor:
        """Computes what inputs that equal `mean` `(n,)` add, in the shape of the bias."""
        sums = ops.matmul(mean[None], K)
        if getattr(self, "reset_after", False):
            return ops.concatenate([sums, ops.zeros_like(sums)])
        return sums[0]

    # --- merging M into the kernel ------------------------------------------------------------

    @property
    def takes_mean(self) -> bool:
        return self.bias is not None or not self.decorrelator.center

    def merge(self) -> None:
        kernel = self.fold(ops.convert_to_tensor(self.kernel))
        if self.decorrelator.center:
            shift = self.shift(ops.convert_to_tensor(self.decorrelation.moving_mean), kernel)
            if self.bias is None:
                self.cell.use_bias = True
                replace_weight(self.cell, "bias", shape=shift.shape, initializer="zeros")
            self.bias.assign(self.bias - shift)
        self.kernel.assign(kernel)
