"""When M moves: at once, or once at the end of a training step.

In a plain `keras.Model` a layer updates its M in `call`, as BatchNormalization does its moving mean.
A training step that runs several forward passes, or that must see one M throughout, opens a
collection instead: the layers leave their samples there, and the step updates every M once.
"""

from contextlib import contextmanager
from typing import Any, NamedTuple

from keras import ops

from keras_decorr.context.scope import Scope

_scope = Scope()


class Sample(NamedTuple):
    """What a layer saw in the sampled part of one batch.

    Attributes:
        X: `(k, n)` float32 raw inputs.
        mean: `(n,)` mean of the whole batch, or `None`.
        stages: Outputs of every stage of M, as its structure lays them out, or `None` to have them
            computed.
        rows: The number of rows to expect where `k` is not known when tracing, or `None`.
        kept: `(k,)` booleans: which rows a mask keeps, or `None` for all. The others lie at the mean.
    """

    X: Any
    mean: Any
    stages: list | None
    rows: int | None
    kept: Any = None

    @classmethod
    def joined(cls, samples, row_axis):
        """The samples of several forward passes as one; `row_axis` is that of their stages."""
        if len(samples) == 1:
            return samples[0]
        X, means, stages, rows, kept = zip(*samples, strict=True)
        joined = None
        if not any(calls is None for calls in stages):
            joined = [ops.concatenate(calls, axis=row_axis) for calls in zip(*stages, strict=True)]
        return cls(
            ops.concatenate(X),
            None if means[0] is None else sum(means[1:], means[0]) / len(means),
            joined,
            None if None in rows else sum(rows),
            None if all(k is None for k in kept) else ops.concatenate([s._kept() for s in samples]),
        )

    def _kept(self):
        return ops.ones(ops.shape(self.X)[:1], "bool") if self.kept is None else self.kept


class Collection:
    """The samples that the layers have left, by layer."""

    def __init__(self):
        self._samples = {}
        self._open = True

    def add(self, layer, sample):
        """Keep the sample of one forward pass of `layer`."""
        if self._open:
            self._samples.setdefault(id(layer), (layer, []))[1].append(sample)

    @contextmanager
    def paused(self):
        """Leave out the samples of the forward passes inside, as those with noise."""
        was, self._open = self._open, False
        try:
            yield
        finally:
            self._open = was

    def flush(self):
        """Hand over `(layer, sample)` for every layer, the calls of a layer as one, and forget them."""
        samples, self._samples = self._samples, {}
        return [
            (layer, Sample.joined(calls, layer.operator.row_axis))
            for layer, calls in samples.values()
        ]


def current():
    """The open `Collection` of this thread, or `None`."""
    return _scope.current


def collect():
    """Open a collection for the forward passes inside."""
    return _scope.open(Collection())
