"""The recurrent, local form of the norm-preserving decorrelation rule.

N. Ahmad, "Correlations Are Ruining Your Gradient Descent", arXiv 2407.10780 (v2, 2024).
"""

from keras import ops

from keras_decorr.maths.correlation import active_features, mean_outer_product
from keras_decorr.typing import Tensor


def recurrent_step(
    L: Tensor, Z: Tensor, U: Tensor, g: Tensor, eta: Tensor, row_axis: int = -2
) -> Tensor:
    """Computes the update `L <- (L + eta mean_k(z_k u_k^T)) / g`.

    Where the linear rule takes `M = L^-1` to `g (I - eta C) M`, its inverse is

        (1 / g) L (I - eta C)^-1 = (1 / g) (L + eta L C) + O(eta^2),

    and `L C = L mean(u u^T) = mean(z u^T)`, as `L u = z` at rest. Left at first order, `M` becomes
    `g (I + eta C)^-1 M`: it differs from the linear rule by `g eta^2 C^2 M`, and does not overshoot at
    any rate. The column of a feature that does not vary in the sample stays as it is, as the row of `M`
    does in the linear form.

    Args:
        L: `(..., n, n)`.
        Z: `(..., k, n)`, or `(..., n, k)`: inputs.
        U: Activities at rest, laid out as `Z`.
        g: Scalar gain.
        eta: Scalar decorrelation rate.
        row_axis: -2, or -1.

    Returns:
        The new `L`.
    """
    active = active_features(ops.sum(ops.square(U), axis=row_axis))
    scale = 1.0 + (g - 1.0) * ops.expand_dims(active, -2)
    return (L + eta * mean_outer_product(Z, U, row_axis)) / scale
