"""A block-diagonal M: `n^2 / g` weights, `n^2 / g` multiply-adds a row."""

from collections.abc import Sequence
from typing import Any, Self

import keras
import numpy as np
from keras import ops

from keras_decorr.decorrelators.arguments import check_count
from keras_decorr.decorrelators.structures.product import Product
from keras_decorr.decorrelators.structures.structure import Structure
from keras_decorr.maths.blocks import block_identity, choose_groups, join, split
from keras_decorr.typing import Tensor

GROUPS = 32


@keras.saving.register_keras_serializable(package="keras_decorr")
class BlockDiagonal(Structure):
    """Groups of neighbouring features: removes the correlations inside each group.

    Where no number of groups near `groups` divides the features, they are padded with zeros.

    Args:
        groups: The most groups of features; fewer where that needs less padding. Defaults to 32, with
            which the nets of the README learned as with 16.

    Raises:
        ValueError: If `groups` is not a positive integer.

    Example:

    >>> from keras_decorr.decorrelators.structures import BlockDiagonal
    >>> BlockDiagonal(groups=10).for_features(100).weights
    1000
    """

    name = "block_diagonal"
    row_axis = -1
    g: int
    m: int

    def __init__(self, groups: int = GROUPS) -> None:
        self.groups = check_count(type(self).__name__, "groups", groups)

    def set_sizes(self) -> None:
        self.g, self.m = choose_groups(self.n, self.groups)

    @classmethod
    def of_parts(cls, n: int, parts: int, product: Product | None = None) -> Self:
        """Returns the operator with a full M for each of `parts` equal parts of the features.

        The parts of a grouped or depthwise convolution are such: their features never meet.
        """
        operator = cls(parts).for_features(n, product)
        operator.g, operator.m = parts, n // parts
        return operator

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        return [(self.g, self.m, self.m)]

    def identities(self) -> list[np.ndarray]:
        return [block_identity(self.n, self.g, self.m)]

    def run(self, matrices: Sequence, Z: Tensor) -> list[tuple]:
        inputs = split(Z, self.g, self.m)
        return [(inputs, self.product.apply(matrices[0], inputs, -1))]

    def join(self, U: Tensor) -> Tensor:
        return join(U, self.n)

    def fold(self, matrices: Sequence, K: Tensor) -> Tensor:
        K = split(ops.transpose(K), self.g, self.m)  # a column of K is a row of features
        return ops.transpose(join(self.product.fold(matrices[0], K), self.n))

    def get_config(self) -> dict[str, Any]:
        return {"groups": self.groups}
