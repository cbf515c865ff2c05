"""The norm-preserving decorrelation rule.

N. Ahmad, "Correlations Are Ruining Your Gradient Descent", arXiv 2407.10780 (v2, 2024).
"""

from keras import ops

from keras_decorr.maths.correlation import correlation_product

# Below this share of ||x|| what is left in ||u|| is the rounding error of float32.
_ROUNDING = 1e-6


def gain(x2, u2):
    """`g = mean_k(||x_k|| / ||u_k||)`: what keeps the norm of the activations.

    Rows without any decorrelated activity (`u_k = 0`: a batch of one that was centred, a masked
    step) have no ratio and are left out; if every row is such a row, `g = 1`.

    Args:
        x2: `(k,)` squared norms of the inputs.
        u2: `(k,)` squared norms of the decorrelated inputs.

    Returns:
        A scalar.
    """
    silent = ops.less_equal(u2, _ROUNDING**2 * x2)
    ratio = ops.where(silent, 0.0, ops.sqrt(x2 / ops.where(silent, 1.0, u2)))
    active = ops.sum(ops.cast(ops.logical_not(silent), ratio.dtype))
    g = ops.sum(ratio) / ops.maximum(active, 1.0)
    return ops.where(ops.equal(active, 0.0), 1.0, g)


def norm_preserving_step(M, U, g, eta, rows=None):
    """`M <- g M - eta C (g M)` with `C = U^T U / k`.

    Args:
        M: `(..., n, n)`.
        U: `(..., k, n)` decorrelated inputs, `u = M z`.
        g: Scalar gain.
        eta: Scalar decorrelation rate.
        rows: As in `correlation_product`.

    Returns:
        The new `M`.
    """
    # g and eta scale the small factor U, not the large M. C is quadratic in U.
    return g * M - correlation_product(ops.sqrt(eta * g) * U, M, rows)
