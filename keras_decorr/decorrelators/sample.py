"""The rows for an update of M: of one call, and of all calls and replicas of a training step."""

from typing import Any, NamedTuple, Self

from keras import ops

from keras_decorr.backend.replicas import gather_rows, replica_count, replica_sum
from keras_decorr.typing import Tensor


class Means(NamedTuple):
    """The means of the inputs of one call.

    Attributes:
        used: `(n,)` mean that the call centred by.
        batch: `(n,)` mean of the rows of this batch, for the moving mean.
    """

    used: Any
    batch: Any


class Sample(NamedTuple):
    """The sampled rows of one call of a layer, on one replica.

    Attributes:
        X: `(k, n)` float32 raw inputs, or a function that returns them: see `extracted`.
        count: Float32 scalar: the rows of the batch that these stand for, those left out by a mask not
            counted.
        means: The `Means` of the call, or `None` if the layer does not centre.
        kept: `(k,)` booleans: which of the sampled rows a mask keeps, or `None` for all; or a function
            that returns them.
        expected_rows: The number of rows to expect where `k` is not known when tracing, or `None`.
    """

    X: Any
    count: Any
    means: Means | None = None
    kept: Any = None
    expected_rows: int | None = None

    def extracted(self) -> Self:
        """Returns the sample with its rows taken out of the batch.

        A layer hands over functions, so that a step without an update takes no rows.
        """
        X = self.X() if callable(self.X) else self.X
        kept = self.kept() if callable(self.kept) else self.kept
        return self._replace(X=ops.stop_gradient(ops.cast(X, "float32")), kept=kept)

    @property
    def weights(self) -> Tensor:
        """`(k,)`: the rows of the batch that each sampled row stands for."""
        kept = ops.ones(ops.shape(self.X)[:1], "float32")
        if self.kept is not None:
            kept = ops.cast(self.kept, "float32")
        return kept * self.count / ops.maximum(ops.sum(kept), 1.0)


class Pool(NamedTuple):
    """The rows of a whole training step, all calls and replicas together.

    Attributes:
        X: `(k, n)` float32 raw inputs.
        count: Float32 scalar: the rows of the batch that these stand for.
        mean: `(n,)` mean by which these were centred, or `None` if the layer does not centre.
        weights: `(k,)` rows of the batch that each row stands for, or `None` if all are alike.
        expected_rows: As in `Sample`.
    """

    X: Any
    count: Any
    mean: Any = None
    weights: Any = None
    expected_rows: int | None = None


def pool(samples: list[Sample], center: str | bool = "batch", pooled: tuple | None = None) -> Pool:
    """Returns the samples of all calls of a layer in a step, and of all replicas, as one.

    Every call counts by its rows, so that the result does not depend on how the rows of a batch are
    spread over calls, masks and replicas.

    Args:
        samples: Each `Sample` of this replica, all with means or all without.
        center: As in `Decorrelator`: with the mean of the batch the rows of all calls are centred by
            their common mean, unless there is only one row.
        pooled: What `pool_means` returns for these samples, or `None` to compute it.
    """
    count, means = pooled or pool_means(samples)
    samples = [sample.extracted() for sample in samples]
    mean = None if means is None else means.used
    if means is not None and center == "batch":
        mean = ops.where(count > 1.0, means.batch, means.used)
    known = [s.expected_rows for s in samples if s.expected_rows is not None]
    expected = sum(known) * replica_count() if len(known) == len(samples) else None
    if len(samples) == 1 and samples[0].kept is None and replica_count() == 1:
        return Pool(samples[0].X, count, mean, None, expected)
    X = ops.concatenate([sample.X for sample in samples])
    weights = ops.concatenate([sample.weights for sample in samples])
    return Pool(gather_rows(X), count, mean, gather_rows(weights), expected)


def pool_means(samples: list[Sample]) -> tuple[Tensor, Means | None]:
    """Returns the number of rows of all calls and replicas, and the `Means` of all of these rows."""
    counts = replica_sum(ops.stack([sample.count for sample in samples]))
    count = ops.sum(counts)
    if samples[0].means is None:
        return count, None
    if len(samples) == 1:
        return count, Means(*map(ops.stop_gradient, samples[0].means))
    shares = counts / ops.maximum(count, 1.0)
    of_calls = zip(*(sample.means for sample in samples), strict=True)
    return count, Means(*(ops.stop_gradient(ops.matmul(shares, ops.stack(m))) for m in of_calls))
