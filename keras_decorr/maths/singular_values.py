"""Extreme singular values of linear maps, in NumPy and float64: no part of a training step.

C. Lanczos, "An iteration method for the solution of the eigenvalue problem of linear differential and
integral operators", J. Research of the National Bureau of Standards 45 (1950).
"""

import numpy as np


def largest_singular_value(gram_product, start, steps=32):
    """The square root of the largest eigenvalue of `A^T A`, by Lanczos iteration.

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


def range_of_blocks(blocks, real):
    """`(largest, smallest)` singular value of a block-diagonal matrix.

    Args:
        blocks: `(..., m, m)` array.
        real: `(..., m)` booleans: which features are no padding.
    """
    largest, smallest = 0.0, np.inf
    m = blocks.shape[-1]
    blocks, real = blocks.reshape(-1, m, m), real.reshape(-1, m)
    whole = real.all(-1)
    padded = zip(blocks[~whole], real[~whole], strict=True)
    for part in [blocks[whole]] + [block[np.ix_(kept, kept)] for block, kept in padded]:
        if part.size:
            values = np.linalg.svd(part, compute_uv=False)
            largest, smallest = max(largest, values.max()), min(smallest, values.min())
    return float(largest), float(smallest)
