"""The correlation matrix `C = U^T U / k` of sampled activations, and what is made of it.

`C` costs `k n^2` to form and `C A` another `n^3`; `U^T (U A)` costs `2 k n^2` and never forms it.
Which is less depends on `k` against `n`, so every product here picks its own order.
"""

import math

from keras import ops


def transpose(A):
    """`A^T` on the last two axes."""
    return ops.swapaxes(A, -1, -2)


def squared_norms(U):
    """`||u_k||^2` of rows whose features lie in groups.

    Args:
        U: `(..., k, m)`.

    Returns:
        `(k,)`.
    """
    axes = (*range(len(U.shape) - 2), -1)
    return ops.sum(ops.square(U), axis=axes)


def correlation(U):
    """`C = U^T U / k`, the (uncentred) second moment of the rows of `U`.

    Args:
        U: `(..., k, n)`.

    Returns:
        `(..., n, n)`.
    """
    return ops.matmul(transpose(U), U / row_count(U))


def row_count(U):
    """`k` of `U (..., k, n)` as a scalar of its type."""
    return ops.cast(ops.shape(U)[-2], U.dtype)


def scaled_correlation_product(scale, U, A, rows=None):
    """`scale C A` with `C = U^T U / k`, in the cheaper order of multiplication.

    Args:
        scale: Non-negative scalar. It is applied to `U`, the smallest factor.
        U: `(..., k, n)`.
        A: `(..., n, n)`.
        rows: The number of rows `k` to expect where it is not known when the function is traced.
            Only the speed depends on it.

    Returns:
        `(..., n, n)`.
    """
    U = U * ops.sqrt(scale / row_count(U))
    if (U.shape[-2] or rows or 0) > U.shape[-1]:  # k n^2 + n^3 < 2 k n^2
        return ops.matmul(ops.matmul(transpose(U), U), A)
    return ops.matmul(transpose(U), ops.matmul(U, A))


def off_diagonal_energy(U, rows=None):
    """Sum of the squared off-diagonal elements of `C = U^T U / k`.

    `||U^T U||_F = ||U U^T||_F`, so the smaller of the two Gram matrices is formed.

    Args:
        U: `(..., k, m)`; the features of all groups count as one vector of `n`.
        rows: As in `scaled_correlation_product`.

    Returns:
        A scalar.
    """
    k, n = U.shape[-2] or rows or 0, feature_count(U)
    diagonal = ops.mean(ops.square(U), axis=-2)
    if k > n:
        gram = correlation(U if len(U.shape) == 2 else ops.reshape(ops.moveaxis(U, 0, 1), (-1, n)))
    else:
        gram = ops.matmul(U, transpose(U) / row_count(U))
        gram = gram if len(U.shape) == 2 else ops.sum(gram, axis=0)
    energy = ops.sum(ops.square(gram)) - ops.sum(ops.square(diagonal))
    return ops.maximum(energy, 0.0)  # rounding may leave a small negative number


def feature_count(U):
    """`n`: the features of all groups of `U (..., k, m)` together."""
    return math.prod(U.shape[:-2]) * U.shape[-1]
