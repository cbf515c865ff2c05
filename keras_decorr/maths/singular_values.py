"""Extreme singular values of linear maps, in NumPy and float64: no part of a training step.

C. Lanczos, "An iteration method for the solution of the eigenvalue problem of linear differential and
integral operators", J. Research of the National Bureau of Standards 45 (1950).
"""

from collections.abc import Callable

import numpy as np

# Up to so many features a decomposition takes less time than an inverse and two iterations.
SMALL = 256


def largest_singular_value(gram_product: Callable, start: np.ndarray, steps: int = 32) -> float:
    """Computes the square root of the largest eigenvalue of `A^T A`, by Lanczos iteration.

    After `j` steps it is too small by at most about `(log(n) / (2 j))^2` of itself.

    Args:
        gram_product: A function that gives `A^T A v`.
        start: Array `v` of any shape, not zero; the iteration stays in its subspace.
        steps: The most steps.

    Returns:
        A float.
    """
    basis = [start / np.linalg.norm(start)]
    diagonal, beside = [], []
    for _ in range(min(steps, start.size)):
        w = gram_product(basis[-1])
        diagonal.append(np.vdot(basis[-1], w))
        for _ in range(2):  # once is not enough in finite precision
            for q in basis:
                w = w - np.vdot(q, w) * q
        norm = np.linalg.norm(w)
        if not norm > 1e-12 * abs(diagonal[0]):  # the subspace is exhausted
            break
        beside.append(norm)
        basis.append(w / norm)
    beside = beside[: len(diagonal) - 1]
    tridiagonal = np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1)
    return float(np.sqrt(max(np.linalg.eigvalsh(tridiagonal)[-1], 0.0)))


def singular_range(
    gram_product: Callable,
    inverse_gram_product: Callable | None,
    start: np.ndarray,
    steps: int = 32,
) -> tuple[float, float]:
    """Computes the `(largest, smallest)` singular value of a map `A`.

    Args:
        gram_product: Gives `A^T A v`.
        inverse_gram_product: The same for `A^-T`, or `None` if `A` has no inverse.
        start: As in `largest_singular_value`.
        steps: As there.
    """
    largest = largest_singular_value(gram_product, start, steps)
    if inverse_gram_product is None:
        return largest, 0.0
    inverse = largest_singular_value(inverse_gram_product, start, steps)
    return largest, 1.0 / inverse if inverse > 0.0 else 0.0


def inverse_or_none(A: np.ndarray) -> np.ndarray | None:
    """Returns the inverse of a matrix or of each of a stack, or `None` if one has none."""
    try:
        return np.linalg.inv(A)
    except np.linalg.LinAlgError:
        return None


def range_of_blocks(blocks: np.ndarray, real: np.ndarray) -> tuple[float, float]:
    """Computes the `(largest, smallest)` singular value of a block-diagonal matrix.

    Args:
        blocks: `(..., m, m)` array.
        real: `(..., m)` booleans: which features are no padding.
    """
    m = blocks.shape[-1]
    blocks, real = blocks.reshape(-1, m, m), real.reshape(-1, m)
    if real.sum() <= SMALL:
        parts = [A[np.ix_(kept, kept)] for A, kept in zip(blocks, real, strict=True) if kept.any()]
        values = np.concatenate([np.linalg.svd(part, compute_uv=False) for part in parts])
        return float(values.max()), float(values.min())

    def gram_product(A: np.ndarray) -> Callable:
        return lambda v: A.swapaxes(-1, -2) @ (A @ v)

    # The start does not touch the padding, so an identity there changes nothing.
    start = np.random.default_rng(0).normal(size=(*real.shape, 1)) * real[..., None]
    inverse = inverse_or_none(blocks + np.eye(m) * ~real[:, None])
    transposed = None if inverse is None else gram_product(inverse.swapaxes(-1, -2))
    return singular_range(gram_product(blocks), transposed, start)
