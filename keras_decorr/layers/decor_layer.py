"""The base class of layers with a linear map of decorrelated inputs."""

import warnings
from typing import Any

from keras import ops

from keras_decorr.backend.keras_internals import (
    StoredElsewhere,
    kernel_variable,
    replace_weight,
    set_kernel,
)
from keras_decorr.context import collection, wiring
from keras_decorr.decorrelators.cost import Work
from keras_decorr.layers.decorrelation import as_rows
from keras_decorr.layers.twin import DecorrelatingTwin
from keras_decorr.maths.mapped_gradient import with_mapped_gradient
from keras_decorr.typing import Shape, Tensor

_ELSEWHERE = "__elsewhere"  # Keras looks at no attribute of such a name


class DecorLayer(DecorrelatingTwin):
    """Mixin for a subclass of a Keras layer with a kernel, whose inputs it decorrelates.

    Weights, saving, LoRA and the like are Keras's own. A subclass names its `twin` and says how the
    kernel is a matrix: `y = activation(op(x, K) + b)` is a linear map of rows of `n` features,
    `rows . matrix(K)`.

    Args:
        *args: Those of the twin.
        decorrelator: As in `Decorrelation`. With `None` this layer is its twin.
        **kwargs: Those of the twin.
    """

    def build(self, input_shape: Shape) -> None:
        if self.decorrelation is not None:
            self.check_inputs(input_shape)
        super().build(input_shape)
        self.served_shape = tuple(input_shape)
        if self.decorrelation is not None:
            self.build_decorrelation(input_shape)

    def attach_decorrelation(self, input_shape: Shape) -> None:
        self.check_inputs(input_shape)
        self.build_decorrelation(input_shape)

    def adopt(self, kernel: Any, bias: Any, input_shape: Shape) -> None:
        """Builds the layer with the variables of another, `bias` being one or `None`."""
        self.check_inputs(input_shape)
        set_kernel(self, kernel)
        self.bias = bias
        if self.decorrelation is not None:
            self.build_decorrelation(input_shape)
        self.built = True

    def check_inputs(self, input_shape: Shape) -> None:
        """Raises a ValueError if rows of inputs of this shape cannot be decorrelated."""

    def build_decorrelation(self, input_shape: Shape) -> None:
        """Builds M for inputs of a shape. The layer has its kernel."""
        work, n = self.work(input_shape)
        self.decorrelation.serve(work)
        self.decorrelation.build((None, n))

    def work(self, input_shape: Shape) -> tuple[Work, Any]:
        """Returns the `Work` of the linear map, and its number of features."""
        raise NotImplementedError

    @property
    def acts_on_gradient(self) -> bool:
        """Whether M is applied to the gradient of the kernel, and the inputs stay as they are."""
        return self.decorrelation is not None and self.decorrelator.acts_on_gradient

    # --- the kernel as a matrix ---------------------------------------------------------------

    def op(self, x: Tensor, K: Tensor) -> Tensor:
        """Computes the linear map of the layer, which is linear in `x` and in `K`."""
        raise NotImplementedError

    def matrix(self, K: Tensor) -> Tensor:
        """Returns a tensor of the shape of the kernel as a matrix `(n, columns)`."""
        raise NotImplementedError

    def of_matrix(self, K: Tensor) -> Tensor:
        """Returns a matrix `(n, columns)` in the shape of the kernel, the inverse of `matrix`."""
        raise NotImplementedError

    def shift(self, mean: Tensor, K: Tensor) -> Tensor:
        """Computes the output for a row that equals `mean` `(n,)`, in the shape of the bias."""
        return ops.reshape(ops.matmul(mean[None], self.matrix(K)), (-1,))

    def fold(self, K: Tensor) -> Tensor:
        """Computes the kernel that acts on raw inputs.

        That is `K_eff = M^T K`. Where M acts on the gradient it is `K` itself, whose gradient is then
        multiplied by `M^T M`.
        """
        if self.acts_on_gradient:
            return with_mapped_gradient(K, self.precondition)
        return self.of_matrix(self.decorrelation.fold(self.matrix(K)))

    def precondition(self, dK: Tensor) -> Tensor:
        """Computes `M^T M dK` for the gradient of the kernel, in the shape of the kernel."""
        return self.of_matrix(self.decorrelation.precondition(self.matrix(dK)))

    # --- the call -----------------------------------------------------------------------------

    def row_sum(self, x: Tensor, mask: Tensor = None) -> tuple[Tensor, Tensor]:
        """Returns a batch to go on with, and the `(n,)` float32 sum of its rows: see `with_sum`."""
        raise NotImplementedError

    def row_count(self, x: Tensor, mask: Tensor = None) -> Tensor:
        """Returns the number of rows of a batch that a mask keeps, as a float32 scalar."""
        raise NotImplementedError

    def observe(self, x: Tensor, count: Tensor, means: Any, mask: Tensor = None) -> None:
        """Passes a sample of the rows of a batch to the decorrelation."""
        raise NotImplementedError

    def call(self, inputs: Tensor, training: bool | None = None, mask: Tensor = None) -> Tensor:
        inputs = wiring.current().inputs(self, inputs)
        if self.decorrelation is None:
            return self.linear_map(inputs)
        inputs, mask = as_rows(inputs, mask, self.compute_dtype)
        seen, mask = self.decorrelation.seen(inputs, mask)
        learns = self.decorrelation.learns(training)
        count = self.row_count(seen, mask) if learns else None
        inputs, means = self.decorrelation.centre(
            inputs, seen, lambda x: self.row_sum(x, mask), count, training
        )
        of_batch = learns and self.decorrelator.center == "batch"
        before = learns and collection.wants_samples_before_use()
        if before:
            self.observe(seen, count, means, mask)
        asleep = self.decorrelation.asleep(training)
        outputs = self.linear_map(inputs, means and means.used, True, of_batch, asleep)
        if learns and not before:  # only now, as it may change M
            self.observe(seen, count, means, mask)
        return outputs

    def linear_map(
        self,
        inputs: Tensor,
        mean: Tensor = None,
        folded: bool = False,
        of_batch: bool = False,
        asleep: bool = False,
    ) -> Tensor:
        """Computes `y = activation(op(inputs, K) + b)` through the hooks of the current wiring.

        Args:
            inputs: Inputs, decorrelated unless `folded`.
            mean: `(n,)` mean of raw inputs that are not centred, or `None`.
            folded: Fold M into the kernel: the inputs are raw.
            of_batch: Whether the mean was computed from the inputs.
            asleep: As `Decorrelation.asleep` says.
        """
        wires = wiring.current()

        def fold(K: Tensor) -> Tensor:
            return self.fold(K) if folded else K

        kernel = ops.convert_to_tensor(self.kernel)
        if asleep:
            kernel = with_mapped_gradient(kernel, _warn_of_sleep)
        effective = fold(kernel)
        a = wires.linear(self, self.op, inputs, effective, fold)
        bias = self.bias
        if mean is not None:  # b_eff = b - mean K_eff
            mean = ops.cast(mean, kernel.dtype)
            shift = wires.linear(self, self.shift, mean, effective, fold)
            bias = -shift if bias is None else bias - shift
        if bias is not None:
            if getattr(self, "data_format", None) == "channels_first":
                bias = ops.reshape(bias, (-1, *[1] * (len(a.shape) - 2)))
            # Of `ops.add` Keras makes what TensorFlow fuses into the map. With a bias that depends on
            # the inputs its second derivative would be a graph with a cycle.
            a = a + bias if of_batch else ops.add(a, bias)
        a = wires.pre_activation(self, a)
        y = a if self.activation is None else self.activation(a)
        wires.output(self, a, y)
        return y

    # --- files of version 0.1.0 ---------------------------------------------------------------

    # They have the variables of the Keras layer, which was held then, in `layer`.

    def load_own_variables(self, store: Any) -> None:
        if len(store.keys()):
            super().load_own_variables(store)
            return

        # Kept afterwards: Keras knows by their ids which objects it has loaded.
        self.__dict__[_ELSEWHERE] = StoredElsewhere(super().load_own_variables)

    @property
    def layer(self) -> Any:
        """Where a file of version 0.1.0 has the kernel and the bias; only while Keras loads one."""
        stored = self.__dict__.get(_ELSEWHERE)
        if stored is None or stored.loaded:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute 'layer'")
        return stored

    # --- merging M into the kernel ------------------------------------------------------------

    @property
    def folds_a_mean(self) -> bool:
        """Whether a mean folds into the bias."""
        return self.decorrelation is not None and bool(self.decorrelator.center)

    def folded_weights(self) -> tuple[Tensor, Tensor]:
        """Returns kernel and bias, or `None`, of the twin with the same outputs in inference."""
        kernel, bias = ops.convert_to_tensor(self.kernel), self.bias
        if self.decorrelation is None:
            return kernel, bias
        kernel = self.fold(kernel)
        if self.folds_a_mean:
            mean = ops.cast(self.decorrelation.moving_mean, kernel.dtype)
            shift = self.shift(mean, kernel)
            bias = -shift if bias is None else bias - shift
        return kernel, bias

    def merge(self) -> None:
        kernel, bias = (x if x is None else ops.copy(x) for x in self.folded_weights())
        if getattr(self, "lora_enabled", False):  # the folded kernel has it
            self.lora_kernel_b.assign(ops.zeros(self.lora_kernel_b.shape))
        kernel_variable(self).assign(kernel)
        if bias is None:
            return
        if not self.takes_mean:
            self.give_bias(bias.shape)
        self.bias.assign(bias)

    @property
    def takes_mean(self) -> bool:
        return not self.folds_a_mean or (
            self.bias is not None
            and tuple(self.bias.shape) == tuple(self.folded_weights()[1].shape)
        )

    def give_bias(self, shape: Shape) -> None:
        """Makes a bias of another shape, where a mean has to go somewhere."""
        if hasattr(self, "use_bias"):
            self.use_bias = True
        replace_weight(
            self,
            "bias",
            shape=shape,
            initializer="zeros",
            regularizer=self.bias_regularizer,
            constraint=self.bias_constraint,
        )


def _warn_of_sleep(dK: Tensor) -> Tensor:
    """Returns the gradient of a kernel, and warns that somebody asked for it."""
    # The same text for all layers: Python shows it once.
    warnings.warn(
        "The gradient of a decorrelating layer is taken in a call that does not say `training`: its M "
        "does not move. In training steps of your own call the model with `training=True`, and in "
        "classes of your own pass `training` on; say `training=False` where you do not train.",
        stacklevel=2,
    )
    return dK
