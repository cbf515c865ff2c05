"""Selects the rows of a batch from which the statistics are computed.

The paper's code (arXiv 2407.10780) takes the first tenth of the batch plus one. A convolution, or a
layer on sequences, has many rows a sample, and neighbours say nearly the same thing: there a capped
number of rows, spread evenly over the sampled images and positions, says as much for less.
"""

from fractions import Fraction
from typing import Any

from keras import ops

from keras_decorr.typing import Tensor

_GOLDEN = 0.6180339887498949
_PLASTIC = 0.7548776662466927


def sample_count(batch: Any, fraction: float) -> Any:
    """Returns the number of samples to take: `min(batch, floor(fraction * batch) + 1)`.

    Args:
        batch: Size of the batch, an int or an integer tensor.
        fraction: Share of the batch in (0, 1].

    Returns:
        An int, or an integer tensor if `batch` is one.
    """
    exact = Fraction(fraction).limit_denominator(10**6)  # 0.1 is a tenth, not 0.1000000000000000055
    p, q = exact.numerator, exact.denominator
    if isinstance(batch, int):
        return min(batch, batch * p // q + 1)
    whole = ops.cast(ops.cast(batch, "int64") * p // q, batch.dtype)  # the product may exceed int32
    return ops.minimum(batch, whole + 1)


def sample_rows(rows: Any, limit: int | None, phase: Tensor = 0.0) -> Tensor:
    """Returns the indices of at most `limit` rows out of `rows`, one from each of equal strata.

    Stratum `j` covers `[j w, (j + 1) w)` with `w = rows / k`; the point inside it moves with `j` and
    with `phase`, so that no column of an image is favoured and later steps see other rows.

    Args:
        rows: How many rows there are, an int or an integer tensor.
        limit: The most to take, or `None` for all.
        phase: Scalar; the number of the step.

    Returns:
        `(k,)` int32 with distinct, rising indices, `k = min(rows, limit)`.
    """
    if limit is None or (isinstance(rows, int) and rows <= limit):
        return ops.arange(rows, dtype="int32")
    k = limit if isinstance(rows, int) else ops.minimum(rows, limit)
    j = ops.cast(ops.arange(k, dtype="int32"), "float32")
    w = ops.cast(rows, "float32") / ops.cast(k, "float32")
    r = ops.mod(j * _GOLDEN + ops.cast(phase, "float32") * _PLASTIC, 1.0)
    # Steps of at least w - (w - 1) = 1 between neighbours: the indices are distinct.
    index = ops.cast(ops.floor(j * w + r * (w - 1.0)), "int32")
    return ops.minimum(index, rows - 1)
