"""Foldiak's anti-Hebbian rule for lateral weights, in its linear form.

P. Foldiak, "Adaptive network for optimal linear feature extraction", IJCNN (1989); "Forming sparse
representations by local anti-Hebbian learning", Biological Cybernetics 64, 165-170 (1990).
"""

from keras import ops

from keras_decorr.maths.correlation import mean_outer_product
from keras_decorr.typing import Tensor


def foldiak_step(L: Tensor, U: Tensor, eta: Tensor, row_axis: int = -2) -> Tensor:
    """Computes the update `L <- L + eta C_off`; `C_off` is `C = U^T U / k` without its diagonal.

    Foldiak writes `u = z + W u` with lateral weights `W` without a diagonal, and
    `dW_ij = -eta u_i u_j`: that is `L = I - W`.

    Args:
        L: `(..., n, n)`.
        U: `(..., k, n)`, or `(..., n, k)`: activities at rest.
        eta: Scalar decorrelation rate.
        row_axis: -2, or -1.

    Returns:
        The new `L`.
    """
    C = mean_outer_product(U, U, row_axis)
    return L + eta * C * (1.0 - ops.eye(L.shape[-1], dtype=L.dtype))
