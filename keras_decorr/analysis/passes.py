"""Records the inputs and gradients of the dense layers and convolutions of a model on a batch."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_decorr.backend.autodiff import pullback
from keras_decorr.context import collection, wiring
from keras_decorr.context.wiring import Wiring
from keras_decorr.layers import (
    DecorConv1D,
    DecorConv2D,
    DecorConv3D,
    DecorDense,
)
from keras_decorr.layers.call import call_in_training
from keras_decorr.maths.patches import patches_at
from keras_decorr.typing import Tensor, Tensors

_CONVOLUTIONS = (DecorConv1D, DecorConv2D, DecorConv3D)
_NUMBERS = 2**24  # of the rows that are cut out at a time


def is_measured(layer: Any) -> bool:
    """Returns whether a layer is a trainable linear map with one kernel for all of its rows."""
    if type(layer) is DecorDense:
        return layer.kernel.trainable and not layer.lora_enabled
    return type(layer) in _CONVOLUTIONS and layer.kernel.trainable and layer.groups == 1


@dataclass
class Call:
    """Holds one call of a layer.

    Attributes:
        layer: The layer.
        x: Its raw inputs.
        mean: What it centres by, or `None`.
        shape: Shape of its pre-activation.
    """

    layer: Any
    x: Any
    mean: Any = None
    shape: tuple = ()

    def rows(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Yields slices of the samples with their raw float64 rows `(samples, rows per sample, n)`."""
        x = self.x
        samples = x.shape[0]
        if type(self.layer) is DecorDense:
            yield slice(0, samples), numpy64(x).reshape(samples, -1, x.shape[-1])
            return
        images, windows = self.layer._channels_last(x), self.layer.windows
        positions = int(
            np.prod(
                [w.positions(size) for w, size in zip(windows, images.shape[1:-1], strict=True)]
            )
        )
        at_a_time = max(_NUMBERS // (positions * self.layer.taps * images.shape[-1]), 1)
        for start in range(0, samples, at_a_time):
            part = slice(start, min(start + at_a_time, samples))
            index = ops.arange((part.stop - part.start) * positions, dtype="int32")
            patches = numpy64(patches_at(images[part], index, windows))
            yield part, patches.reshape(part.stop - part.start, positions, -1)

    def centre(self, n: int) -> np.ndarray:
        """Returns the mean `(n,)` that the layer subtracts from its rows."""
        if self.mean is None:
            return np.zeros(n)
        return np.resize(self.mean, n)  # where it is one of channels, each position's

    def deltas(self, gradient: Tensor) -> np.ndarray:
        """Returns a gradient of the pre-activation as float64 `(samples, rows per sample, m)`."""
        array = numpy64(gradient)
        if getattr(self.layer, "data_format", None) == "channels_first":
            array = np.moveaxis(array, 1, -1)
        return array.reshape(len(array), -1, array.shape[-1])


@dataclass
class Passes:
    """Runs a model on a batch as in training and computes vector-Jacobian products.

    The means by which layers centre are those of the batch, held constant: with them, as with M, each
    sample's output is a function of that sample alone.

    Attributes:
        calls: A `Call` for each call of a layer that `is_measured`.
        outputs: The model's outputs.
        pull: A function from a cotangent of the outputs to the gradient with respect to the
            pre-activation of each of the calls.
    """

    model: Any
    x: Any
    calls: list = field(init=False)
    outputs: Any = field(init=False)
    pull: Any = field(init=False)

    def __post_init__(self) -> None:
        seen = _Seen()
        with _nothing_moves(), wiring.opened(seen):
            outputs = call_in_training(self.model, self.x)
        if not ops.is_tensor(outputs):
            raise ValueError(
                "Argument `model` of natural_gradient_alignment must have one output. "
                f"Received: {self.model.name!r} with {len(keras.tree.flatten(outputs))}"
            )
        self.calls = seen.calls
        self.outputs, self.pull = self._pullback(_Shifted)

    def through_means(self, cotangent: Tensor) -> Any:
        """Computes what `pull` does, but through the means of the batch, as in training."""
        _, pull = self._pullback(_ShiftedThroughMeans)
        return pull(cotangent)

    def _pullback(self, shift: Any) -> tuple[Any, Any]:
        def shifted(probes: Any) -> Tensor:
            with _nothing_moves(), wiring.opened(shift(probes)):
                return call_in_training(self.model, self.x)

        probes = [ops.zeros(call.shape, call.layer.compute_dtype) for call in self.calls]
        value, pull = pullback(shifted, probes)
        return value, pull

    def loss_cotangent(self, y: Tensors) -> Tensor:
        """Computes the gradient of the compiled loss, without regularisers, by the outputs."""
        y = keras.tree.map_structure(ops.convert_to_tensor, y)

        def loss(outputs: list[Tensor]) -> Tensor:
            with keras.StatelessScope():
                return keras.Model.compute_loss(self.model, self.x, y, outputs[0])

        # A softmax's outputs remember their logits, past which Keras would take the gradient; a copy
        # does not.
        value, pull = pullback(loss, [self.outputs + 0])
        return pull(ops.ones_like(value))[0]


class _Seen(Wiring):
    """Records a `Call` for each call of a measured layer."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def inputs(self, layer: Any, x: Tensors) -> Tensor:
        if is_measured(layer):
            self.calls.append(Call(layer, x))
            moving = layer.decorrelation is not None and layer.decorrelator.center
            if moving and not layer.decorrelation.learns(True):  # frozen
                self.calls[-1].mean = numpy64(layer.decorrelation.moving_mean)
        return x

    def mean(self, layer: Any, batch_mean: Callable[[], Tensor]) -> Tensor:
        value = ops.stop_gradient(batch_mean())
        if self.calls and self.calls[-1].layer.decorrelation is layer:
            self.calls[-1].mean = numpy64(value)
        return value

    def pre_activation(self, layer: Any, a: Any) -> Tensor:
        if is_measured(layer):
            self.calls[-1].shape = tuple(a.shape)
        return a


class _ShiftedThroughMeans(Wiring):
    """Adds a probe to every pre-activation, whose gradient is that of the pre-activation."""

    def __init__(self, probes: Any) -> None:
        self._probes = iter(probes)

    def pre_activation(self, layer: Any, a: Any) -> Tensor:
        return a + next(self._probes) if is_measured(layer) else a


class _Shifted(_ShiftedThroughMeans):
    """Adds probes with the means of the batch held constant."""

    def mean(self, layer: Any, batch_mean: Callable[[], Tensor]) -> Tensor:
        return ops.stop_gradient(batch_mean())


@contextmanager
def _nothing_moves() -> Iterator[None]:
    with ExitStack() as stack:
        stack.enter_context(keras.StatelessScope())
        stack.enter_context(collection.collect())
        yield


def numpy64(x: Tensor) -> np.ndarray:
    """Converts a tensor to a float64 array."""
    return np.asarray(ops.convert_to_numpy(x), "float64")
