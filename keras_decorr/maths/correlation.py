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
    k = ops.cast(ops.shape(U)[-2], U.dtype)
    return ops.matmul(transpose(U), U / k)


def correlation_product(U, A, rows=None):
    """`C A` with `C = U^T U / k`, in the cheaper order of multiplication.

    Args:
        U: `(..., k, n)`.
        A: `(..., n, n)`.
        rows: The number of rows `k` to expect where it is not known when the function is traced.
            Only the speed depends on it.

    Returns:
        `(..., n, n)`.
    """
    k, n = U.shape[-2] or rows or 0, U.shape[-1]
    if k > n:  # k n^2 + n^3 < 2 k n^2
        return ops.matmul(correlation(U), A)
    return ops.matmul(transpose(U), ops.matmul(U, A) / ops.cast(ops.shape(U)[-2], U.dtype))


def off_diagonal_energy(U, rows=None):
    """Sum of the squared off-diagonal elements of `C = U^T U / k`.

    `||U^T U||_F = ||U U^T||_F`, so the smaller of the two Gram matrices is formed.

    Args:
        U: `(..., k, m)`; the features of all groups count as one vector of `n`.
        rows: As in `correlation_product`.

    Returns:
        A scalar.
    """
    k, n = U.shape[-2] or rows or 0, feature_count(U)
    count = ops.cast(ops.shape(U)[-2], U.dtype)
    diagonal = ops.sum(ops.square(U), axis=-2) / count
    if k > n:
        gram = correlation(U if len(U.shape) == 2 else ops.reshape(ops.moveaxis(U, 0, 1), (-1, n)))
    else:
        gram = ops.matmul(U, transpose(U) / count)
        gram = gram if len(U.shape) == 2 else ops.sum(gram, axis=0)
    energy = ops.sum(ops.square(gram)) - ops.sum(ops.square(diagonal))
    return ops.maximum(energy, 0.0)  # rounding may leave a small negative number


def feature_count(U):
    """`n`: the features of all groups of `U (..., k, m)` together."""
    return math.prod(U.shape[:-2]) * U.shape[-1]
