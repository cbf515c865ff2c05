"""Collects the samples of a training step, so that each M is updated once at its end.

In a plain `keras.Model` a layer updates its M in `call`, as BatchNormalization does its moving mean.
A training step that runs several forward passes, or that must see one M throughout, opens a
collection instead: the layers leave their samples there, and the step updates every M once.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from keras_decorr.context.scope import Scope

_scope = Scope()


class Collection:
    """Samples for the updates of M, by layer.

    Args:
        learning_rate: The learning rate of the optimizer in this step, or `None`.
    """

    # Whether a layer hands over its sample before it uses M.
    before_use = False

    def __init__(self, learning_rate: Any = None) -> None:
        self.learning_rate = learning_rate
        self._samples: dict = {}
        self._open = True

    def add(self, layer: Any, sample: Any) -> None:
        """Keeps the `Sample` of one call of `layer`."""
        if self._open:
            self._samples.setdefault(id(layer), (layer, []))[1].append(sample)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Ignores the samples of the forward passes inside, such as those with noise."""
        was, self._open = self._open, False
        try:
            yield
        finally:
            self._open = was

    def flush(self) -> list:
        """Returns `(layer, samples)` for every layer, a sample for each of its calls; forgets them."""
        samples, self._samples = self._samples, {}
        return list(samples.values())


def current() -> Any:
    """Returns the open `Collection` of this thread, or `None`."""
    return _scope.current


def collect(learning_rate: Any = None) -> AbstractContextManager[Collection]:
    """Opens a collection for the forward passes inside."""
    return opened(Collection(learning_rate))


def opened(collection: Collection) -> AbstractContextManager[Collection]:
    """Opens a collection of any class for the forward passes inside."""
    return _scope.open(collection)


def wants_samples_before_use() -> bool:
    """Returns whether the open collection takes samples before M is used."""
    return _scope.current is not None and _scope.current.before_use
