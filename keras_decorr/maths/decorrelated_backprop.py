"""The rule of decorrelated backpropagation: decorrelate, and normalise the variance.

S. Dalm, J. Offergeld, N. Ahmad, M. van Gerven, "Efficient Deep Learning with Decorrelated
Backpropagation", arXiv 2405.02385 (2024).
"""

from keras import ops

from keras_decorr.maths.correlation import Correlation, active_features, mean_square
from keras_decorr.typing import Tensor


def decorrelated_backprop_step(
    M: Tensor, U: Tensor, kappa: float, eta: Tensor, rows: int | None = None, row_axis: int = -2
) -> Tensor:
    """Computes the update `M <- M - eta ((1 - kappa) C_off M + kappa diag(v) M)`.

    `C_off` is `C = U^T U / k` without its diagonal and `v = mean_k(u_k^2 - 1)`. `kappa = 0`
    decorrelates only, `kappa = 1` normalises the variance only. `diag(v) M` scales the rows of `M`,
    one row per output of `M`; that of a feature that does not vary in the sample, whose variance no
    factor brings to 1, stays as it is (see `active_features`).

    Args:
        M: `(..., n, n)`.
        U: `(..., k, n)`, or `(..., n, k)`: decorrelated inputs, `u = M z`.
        kappa: Number between 0 and 1.
        eta: Scalar decorrelation rate.
        rows: As in `Correlation`.
        row_axis: -2, or -1.

    Returns:
        The new `M`.
    """
    c = mean_square(U, row_axis)
    # C_off M = C M - diag(c) M, so both diagonal terms scale the rows of M together.
    d = eta * (kappa * active_features(c) * (c - 1.0) - (1.0 - kappa) * c)
    step = (1.0 - ops.expand_dims(d, -1)) * M
    if kappa == 1.0:
        return step
    return step - Correlation(U, rows, row_axis).product(eta * (1.0 - kappa), M)
