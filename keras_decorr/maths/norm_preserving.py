"""The norm-preserving decorrelation rule.

N. Ahmad, "Correlations Are Ruining Your Gradient Descent", arXiv 2407.10780 (v2, 2024).
"""

from keras import ops

from keras_decorr.maths.correlation import Correlation, active_features, transpose
from keras_decorr.typing import Tensor

# Below this share of ||x|| what is left in ||u|| is the rounding error of float32.
_ROUNDING = 1e-6
# The factor by which the norm may be off after a step; what is sampled makes it waver by less.
_MOST_LEFT = 1.5


def gain(x2: Tensor, u2: Tensor, weights: Tensor = None) -> Tensor:
    """Returns `g = mean_k(||x_k|| / ||u_k||)`, which keeps the norm of the activations.

    Rows without any decorrelated activity (`u_k = 0`: a batch of one that was centred, a masked
    step) have no ratio and are left out; if every row is such a row, `g = 1`.

    Args:
        x2: `(k,)` squared norms of the inputs.
        u2: `(k,)` squared norms of the decorrelated inputs.
        weights: `(k,)` weights of the rows in the mean, or `None` if all are 1.

    Returns:
        A scalar.
    """
    active = ops.cast(u2 > _ROUNDING**2 * x2, x2.dtype)
    ratio = ops.sqrt(x2 / (u2 + (1.0 - active)))
    counted = active if weights is None else active * weights
    count = ops.sum(counted)
    # Without an active row: 0 / 1 + 1.
    none = ops.cast(ops.equal(count, 0.0), x2.dtype)
    return ops.sum(counted * ratio) / (count + none) + none


def slow_gain(g: Tensor, rate: float) -> Tensor:
    """Returns the part of the gain for one step: `g^rate`, or more if M would be off by over 1.5.

    What is left to the steps to come is `g / g^rate = g^(1 - rate)`. Without a bound to it, an M that
    has once overshot would grow faster than it is taken back, as `C` grows with its square.

    Args:
        g: Positive gains.
        rate: In (0, 1].
    """
    return g / ops.clip(ops.power(g, 1.0 - rate), 1.0 / _MOST_LEFT, _MOST_LEFT)


def norm_preserving_step(
    M: Tensor,
    U: Tensor,
    g: Tensor,
    eta: Tensor,
    rows: int | None = None,
    row_axis: int = -2,
    noise: Tensor | None = None,
) -> Tensor:
    """Computes the update `M <- g M - eta C (g M)` with `C = U^T U / k + s M M^T`.

    The second term is the covariance that white noise of variance `s` in the inputs would have in the
    outputs. A rate that would overshoot is lowered: see `Correlation.stable_rate`. The row of a
    feature that does not vary in the sample stays as it is: see `active_features`.

    Args:
        M: `(..., n, n)`.
        U: `(..., k, n)`, or `(..., n, k)`: decorrelated inputs, `u = M z`.
        g: Scalar gain.
        eta: Scalar decorrelation rate.
        rows: As in `Correlation`.
        row_axis: -2, or -1.
        noise: `s`, a scalar, or `None` for none.

    Returns:
        The new `M`.
    """
    active = ops.expand_dims(active_features(ops.sum(ops.square(U), axis=row_axis)), -1)
    added = None if noise is None else noise * active * ops.matmul(M, transpose(M))
    C = Correlation(U, rows, row_axis, added)
    return (1.0 + (g - 1.0) * active) * (M - C.product(C.stable_rate(eta), M))
