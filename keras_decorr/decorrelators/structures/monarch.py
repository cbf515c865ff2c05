"""A Monarch M: two block-diagonal stages, `2 n^2 / g` weights and multiply-adds a row.

T. Dao et al., "Monarch: Expressive Structured Matrices for Efficient and Accurate Training",
arXiv 2204.00595 (2022).
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_decorr.decorrelators.arguments import check_count
from keras_decorr.decorrelators.structures.block_diagonal import GROUPS
from keras_decorr.decorrelators.structures.structure import Structure
from keras_decorr.maths import blocks
from keras_decorr.maths.singular_values import inverse_or_none, singular_range
from keras_decorr.typing import Tensor


@keras.saving.register_keras_serializable(package="keras_decorr")
class Monarch(Structure):
    """Two stages of groups; each group of the second takes an equal share of every first group.

    The second stage removes what the first leaves between its groups. Each stage is a decorrelator of
    its own, and learns from the inputs it receives. Where the square of no number near `groups` divides
    the features, they are padded with zeros.

    Args:
        groups: The most groups of features; at most the square root of the features, and fewer where
            that needs less padding. Defaults to 32, with which the nets of the README learned as
            with 16.

    Raises:
        ValueError: If `groups` is not a positive integer.

    Example:

    >>> from keras_decorr.decorrelators.structures import Monarch
    >>> Monarch(groups=10).for_features(100).weights
    2000
    """

    name = "monarch"
    row_axis = -1
    g: int
    m: int

    def __init__(self, groups: int = GROUPS) -> None:
        self.groups = check_count(type(self).__name__, "groups", groups)

    def set_sizes(self) -> None:
        self.g, self.m = blocks.choose_groups(self.n, self.groups, power=2)

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        return [(self.g, self.m, self.m)] * 2

    def identities(self) -> list[np.ndarray]:
        order = blocks.monarch_order(self.g, self.m)
        return [
            blocks.block_identity(self.n, self.g, self.m),
            blocks.block_identity(self.n, self.g, self.m, order),
        ]

    def run(self, matrices: Sequence, Z: Tensor) -> list[tuple]:
        first = blocks.split(Z, self.g, self.m)
        between = self.product.apply(matrices[0], first, -1)
        second = blocks.exchange(between)
        return [(first, between), (second, self.product.apply(matrices[1], second, -1))]

    def join(self, U: Tensor) -> Tensor:
        return blocks.join(blocks.exchange(U), self.n)

    def fold(self, matrices: Sequence, K: Tensor) -> Tensor:
        K = blocks.split(ops.transpose(K), self.g, self.m)  # a column of K is a row of features
        K = blocks.exchange(self.product.fold(matrices[1], blocks.exchange(K)))
        return ops.transpose(blocks.join(self.product.fold(matrices[0], K), self.n))

    def singular_range(self, matrices: Sequence) -> tuple[float, float]:
        # By an iteration: the map has no blocks, but it is cheap to apply, and so is its inverse.
        identities, matrices = self.identities(), [self.product.matrix(M) for M in matrices]
        start = np.random.default_rng(0).normal(size=(self.g, self.m, 1))
        start *= identities[0].max(-1)[..., None]
        # An identity on the padding, which the start does not touch.
        inverses: list = [
            inverse_or_none(M + np.eye(self.m) - identity)
            for M, identity in zip(matrices, identities, strict=True)
        ]
        inverse = None
        if all(matrix is not None for matrix in inverses):
            # M = E S2 E S1 with the exchange E = E^-1 = E^T: M^-T = E S2^-T E S1^-T has the same form.
            inverse = self._gram_product(*(matrix.swapaxes(-1, -2) for matrix in inverses))
        return singular_range(self._gram_product(*matrices), inverse, start)

    def _gram_product(
        self, first: np.ndarray, second: np.ndarray
    ) -> Callable[[np.ndarray], np.ndarray]:
        """Returns the function `v -> M^T M v` for two stages, `v` of shape `(g, m, 1)`."""

        def exchange(v: np.ndarray) -> np.ndarray:
            g, m = self.g, self.m
            return v.reshape(g, g, m // g, 1).swapaxes(0, 1).reshape(g, m, 1)

        def product(v: np.ndarray) -> Any:
            u = second @ exchange(first @ v)
            return first.swapaxes(-1, -2) @ exchange(second.swapaxes(-1, -2) @ u)

        return product

    def get_config(self) -> dict[str, Any]:
        return {"groups": self.groups}
