"""ZCA whitening from a running covariance.

L. Huang, D. Yang, B. Lang, J. Deng, "Decorrelated Batch Normalization", arXiv 1804.08450 (2018). The
iteration: L. Huang et al., "Iterative Normalization", arXiv 1904.03441 (2019), in its coupled form,
which rounding errors do not destroy: N. Higham, "Functions of Matrices" (2008), section 6.3.
"""

from keras import ops

from keras_decorr.maths.correlation import mean_outer_product, transpose
from keras_decorr.typing import Tensor


def inverse_root_newton_schulz(A: Tensor, iterations: int) -> Tensor:
    """Computes `A^(-1/2)` of a symmetric positive definite matrix, by the Newton-Schulz iteration.

    With `Y = A / ||A||_F` and `P = I` at the start:

        T = (3 I - P Y) / 2,    Y <- Y T,    P <- T P,    at last A^(-1/2) = P / sqrt(||A||_F)

    An eigenvalue `p` of `P` goes to `p (3 - l p^2) / 2`, `l` that of `A / ||A||_F`: it grows by 1.5 an
    iteration until it nears `1 / sqrt(l)`, and then doubles its digits. After `iterations` the
    directions with `l` above about `2.25^(4 - iterations)` are done; those below are amplified less.

    Args:
        A: `(..., n, n)`.
        iterations: Number of iterations.

    Returns:
        `(..., n, n)`.
    """
    norm = ops.sqrt(ops.sum(ops.square(A), axis=(-2, -1), keepdims=True))
    eye = ops.eye(A.shape[-1], dtype=A.dtype)
    Y, P = A / norm, eye + ops.zeros_like(A)
    for _ in range(iterations):
        T = 1.5 * eye - 0.5 * ops.matmul(P, Y)
        Y, P = ops.matmul(Y, T), ops.matmul(T, P)
    return P / ops.sqrt(norm)


def inverse_root_eigh(A: Tensor) -> Tensor:
    """Computes `A^(-1/2) = D diag(l)^(-1/2) D^T` from the eigenvalues `l` and eigenvectors `D`.

    Args:
        A: `(..., n, n)`, symmetric and positive definite.

    Returns:
        `(..., n, n)`.
    """
    values, D = ops.linalg.eigh(A)
    least = 1e-7 * ops.max(values, axis=-1, keepdims=True)  # the rounding of float32
    scale = 1.0 / ops.sqrt(ops.maximum(values, least))
    return ops.matmul(D * ops.expand_dims(scale, -2), transpose(D))


def adapted_matrix(identity: Tensor, Z: Tensor, damping: float, row_axis: int = -2) -> Tensor:
    """Computes `(C + d mean(l) I)^(-1/2)` from the covariance `C` of rows and its mean eigenvalue.

    Args:
        identity: `(..., n, n)` blocks with 1 on the diagonal, and 0 for padding, which stays 0.
        Z: `(..., k, n)` rows, or `(..., n, k)`.
        damping: `d`, at least 0. The mean eigenvalue is that of all blocks.
        row_axis: -2, or -1.

    Returns:
        `(..., n, n)`.
    """
    C = mean_outer_product(Z, Z, row_axis)
    real = ops.diagonal(identity, axis1=-2, axis2=-1)
    mean = ops.sum(ops.diagonal(C, axis1=-2, axis2=-1)) / ops.maximum(ops.sum(real), 1.0)
    # Without any variance M is the identity.
    d = ops.where(mean > 0.0, damping * mean, 1.0)
    root = inverse_root_eigh(C + d * ops.eye(C.shape[-1], dtype=C.dtype))
    return ops.expand_dims(real, -1) * root
