"""Hooks of a learning rule in the linear maps of a model.

A layer with a linear map computes `a = x K + b` and `y = activation(a)`. Around that it asks the wiring
in force what to do. The ground wiring does nothing, which is backpropagation; a rule opens one of its
own for the forward passes of a training step.
"""

from collections.abc import Callable
from typing import Any

from keras_decorr.context.scope import Scope
from keras_decorr.typing import Tensor


class Wiring:
    """Hooks that change nothing, which is backpropagation.

    A rule overrides what it changes. Methods get the layer, so that a wiring can keep something for
    each; a layer that is called twice comes twice.
    """

    def inputs(self, layer: Any, x: Tensor) -> Tensor:
        """Returns the tensor that the layer uses as its raw inputs `x`."""
        return x

    def mean(self, layer: Any, batch_mean: Callable) -> Tensor:
        """Returns the mean to centre by: `batch_mean()`, computed from the inputs, or another."""
        return batch_mean()

    def sampled(self, layer: Any, x: Tensor) -> Tensor:
        """Returns the part of the batch from which M is updated."""
        return x

    def linear(self, layer: Any, op: Callable, x: Tensor, kernel: Tensor, fold: Callable) -> Tensor:
        """Computes `op(x, kernel)`.

        Args:
            layer: The layer.
            op: A function that is linear in both of its arguments.
            x: Inputs, as the linear map takes them.
            kernel: The kernel, M folded in where the layer does so.
            fold: What made `kernel` of the layer's own kernel; does the same to a tensor of its shape.
        """
        return op(x, kernel)

    def pre_activation(self, layer: Any, a: Tensor) -> Tensor:
        """Returns the tensor that the layer uses as its pre-activation `a`."""
        return a

    def output(self, layer: Any, a: Tensor, y: Tensor) -> None:
        """Receives the pre-activation `a` and the output `y` of the layer."""


_GROUND = Wiring()
_scope = Scope()
opened = _scope.open


def current() -> Any:
    """Returns the `Wiring` opened last in this thread, or that of backpropagation."""
    return _scope.current or _GROUND
