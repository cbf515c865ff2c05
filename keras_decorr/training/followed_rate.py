"""Makes the rate of M follow the learning rate of the optimizer."""

from typing import Any

import keras
from keras import ops

from keras_decorr.typing import Tensor


class FollowedRate(keras.metrics.Metric):
    """Compares the learning rate of the optimizer with its highest value so far.

    A constant rate of M undoes what a falling learning rate gains: M keeps changing the inputs that the
    weights have settled on. So M takes its own rate times `lr(t) / max(lr(0), ..., lr(t))`. That is 1
    while the optimizer warms up and as long as its rate is constant, and falls with a schedule or a
    callback such as `keras.callbacks.ReduceLROnPlateau`.

    It is a metric because its result, the rate of M in the last step, averaged over the layers, belongs
    to the logs, and because Keras saves metrics of this kind with the model: a resumed training knows
    the highest rate. The reset at the start of an epoch changes nothing.

    Example:

    >>> from keras_decorr.training.followed_rate import FollowedRate
    >>> followed = FollowedRate()
    >>> [float(followed.factor(rate)) for rate in (0.5, 1.0, 0.25)]
    [1.0, 1.0, 0.25]
    """

    def __init__(self, name: str = "decorrelation_rate") -> None:
        super().__init__(name=name)
        self.highest = self._variable("highest", 0.0)
        self.last_factor = self._variable("last_factor", 1.0)
        self.rate = self._variable("rate", 0.0)

    def _variable(self, name: str, start: float) -> keras.Variable:
        # All replicas have the same learning rate.
        initializer = keras.initializers.Constant(start)
        return self.add_variable((), initializer, "float32", "only_first_replica", name)

    def factor(self, learning_rate: Tensor) -> Tensor:
        """Returns the factor for the rate of M in a step with this learning rate, and remembers it."""
        learning_rate = ops.cast(learning_rate, "float32")
        highest = ops.maximum(self.highest, learning_rate)
        factor = ops.where(highest > 0.0, learning_rate / ops.maximum(highest, 1e-30), 1.0)
        self.highest.assign(highest)
        self.last_factor.assign(factor)
        return factor

    def update_state(self, rates: Tensor) -> None:
        """Takes the rates of the layers in this step."""
        self.rate.assign(ops.mean(rates))

    def result(self) -> Tensor:
        # A tensor of its own: on JAX the next step deletes that of the variable, and logs keep theirs.
        return self.rate + 0.0

    def reset_state(self) -> None:
        """Does nothing: the highest rate and the last one outlive an epoch."""

    def restart(self) -> None:
        """Forgets the highest rate, as for a new optimizer."""
        self.highest.assign(0.0)
        self.last_factor.assign(1.0)

    def save_own_variables(self, store: Any) -> None:
        for variable in self.variables:
            store[variable.name] = variable.numpy()

    def load_own_variables(self, store: Any) -> None:
        for variable in self.variables:
            # A file of version 0.1.0 has none. The store is no dictionary.
            if variable.name in [*store.keys()]:
                variable.assign(store[variable.name])
