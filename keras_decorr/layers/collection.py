"""When M moves: at once, or once at the end of a training step.

In a plain `keras.Model` a layer updates its M in `call`, as BatchNormalization does its moving mean.
A training step that runs several forward passes, or that must see one M throughout, opens a
collection instead: the layers leave their samples there, and the step updates every M once.
"""

import threading
from contextlib import contextmanager

from keras import ops

# One stack a thread: each replica of a tf.distribute strategy traces in a thread of its own.
_local = threading.local()


class Collection:
    """The samples that the layers have left, by layer."""

    def __init__(self):
        self._samples = {}
        self._open = True

    def add(self, layer, X, mean, rows):
        """Keep the sampled inputs `X` (k, n) of one forward pass of `layer`, and their mean."""
        if self._open:
            self._samples.setdefault(id(layer), (layer, []))[1].append((X, mean, rows))

    @contextmanager
    def paused(self):
        """Leave out the samples of the forward passes inside, as those with noise."""
        was, self._open = self._open, False
        try:
            yield
        finally:
            self._open = was

    def flush(self):
        """Hand over `(layer, X, Z, mean, rows)` for every layer and forget them.

        A layer that was called several times gets all its samples in one.
        """
        for layer, calls in self._samples.values():
            X = [x for x, _, _ in calls]
            Z = [x if mean is None else x - mean for x, mean, _ in calls]
            means = [mean for _, mean, _ in calls if mean is not None]
            rows = [r for _, _, r in calls if r is not None]
            yield (
                layer,
                X[0] if len(X) == 1 else ops.concatenate(X),
                Z[0] if len(Z) == 1 else ops.concatenate(Z),
                sum(means[1:], means[0]) / len(means) if means else None,
                sum(rows) if rows else None,
            )
        self._samples = {}


def current():
    """The open `Collection` of this thread, or `None`."""
    stack = getattr(_local, "stack", None)
    return stack[-1] if stack else None


@contextmanager
def collect():
    """Open a collection for the forward passes inside."""
    stack = _local.__dict__.setdefault("stack", [])
    stack.append(Collection())
    try:
        yield stack[-1]
    finally:
        stack.pop()
