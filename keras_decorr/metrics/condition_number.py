"""Computes the condition number of a matrix, such as M: how near to singular it is."""

import math

import numpy as np
from keras import ops

from keras_decorr.typing import Tensor


def condition_number(matrix: Tensor) -> float:
    """Computes the largest singular value of a matrix over the smallest, `sigma_max / sigma_min`.

    Args:
        matrix: `(..., m, m)` array or tensor; `...` are the blocks of a block-diagonal matrix.

    Returns:
        A float from 1 upwards; infinite if the matrix is singular, NaN if it is not all finite.

    Raises:
        ValueError: If it is no square matrix.

    Example:

    >>> import keras_decorr
    >>> keras_decorr.metrics.condition_number([[4.0, 0.0], [0.0, -2.0]])
    2.0
    """
    matrix = ops.convert_to_numpy(matrix).astype("float64")
    if matrix.ndim < 2 or matrix.shape[-1] != matrix.shape[-2] or matrix.size == 0:
        raise ValueError(
            f"`condition_number` needs a square matrix, or blocks. Received: shape {matrix.shape}"
        )
    if not np.isfinite(matrix).all():
        return math.nan
    values = np.linalg.svd(matrix, compute_uv=False)
    return ratio(values.max(), values.min())


def ratio(largest: float, smallest: float) -> float:
    """Returns the condition number for the largest and smallest singular value."""
    return float(largest / smallest) if smallest > 0.0 else math.inf
