"""Products of the weights of one stage of M with its inputs."""

from typing import Any

from keras_decorr.maths.correlation import multiply
from keras_decorr.typing import Tensor


class Product:
    """Products with weights that are M itself; rules with other weights subclass it.

    Example:

    >>> import numpy as np
    >>> from keras_decorr.decorrelators.structures.product import Product
    >>> M, X = np.array([[0.0, 1.0], [2.0, 0.0]]), np.array([[3.0, 4.0]])
    >>> np.array(Product().apply(M, X, row_axis=-2)).tolist()
    [[4.0, 6.0]]
    """

    # Products with the weights, at most, for one with M.
    passes = 1

    def apply(self, M: Tensor, X: Tensor, row_axis: int) -> Tensor:
        """Computes `M x` for rows `x` of `X`: `(..., m, k)` with `row_axis=-1`, else `(..., k, m)`."""
        return multiply(M, X, row_axis)

    def fold(self, M: Tensor, K: Tensor) -> Tensor:
        """Computes `M^T K` for `K` of shape `(..., m, columns)`."""
        return multiply(M, K, transposed=True)

    def matrix(self, M: Tensor) -> Any:
        """Returns M as a float64 array, from an array of the weights; padding stays zero."""
        return M
