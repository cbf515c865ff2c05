"""Where a learning rule reaches into the linear maps of a model.

A layer with a linear map computes `a = x K + b` and `y = activation(a)`. Around that it asks the wiring
in force what to do. The ground wiring does nothing, which is backpropagation; a rule opens one of its
own for the forward passes of a training step.
"""

from keras_decorr.context.scope import Scope


class Wiring:
    """The wiring of backpropagation: everything as it is.

    A rule overrides what it changes. Methods get the layer, so that a wiring can keep something for
    each; a layer that is called twice comes twice.
    """

    def inputs(self, layer, x):
        """What the layer takes for its raw inputs `x`."""
        return x

    def mean(self, layer, batch_mean):
        """The mean to centre by: `batch_mean()`, a function of the inputs, or another."""
        return batch_mean()

    def sampled(self, layer, x):
        """The part of the batch from which M learns."""
        return x

    def linear(self, layer, op, x, kernel, fold):
        """`op(x, kernel)`.

        Args:
            layer: The layer.
            op: A function that is linear in both of its arguments.
            x: Inputs, as the linear map takes them.
            kernel: The kernel, M folded in where the layer does so.
            fold: What made `kernel` of the layer's own kernel; does the same to a tensor of its shape.
        """
        return op(x, kernel)

    def pre_activation(self, layer, a):
        """What the layer takes for its pre-activation `a`."""
        return a

    def output(self, layer, a, y):
        """Sees the output `y` that the layer made of `a`."""


_GROUND = Wiring()
_scope = Scope()
opened = _scope.open


def current():
    """The `Wiring` in force in this thread."""
    return _scope.current or _GROUND
