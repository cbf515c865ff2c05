"""A full M: `n^2` weights, `n^2` multiply-adds a row."""

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from keras_decorr.decorrelators.structures.structure import Structure
from keras_decorr.maths.blocks import join
from keras_decorr.typing import Tensor


@keras.saving.register_keras_serializable(package="keras_decorr")
class Full(Structure):
    """One matrix over all features: removes every correlation.

    Example:

    >>> from keras_decorr.decorrelators.structures import Full
    >>> Full().for_features(100).weights
    10000
    """

    name = "full"
    # M acts from the left: from the right it would be transposed, and where a row of it takes a whole
    # number of pages of memory (n = 3072, 4096) a CPU then needs up to three times as long.
    row_axis = -1

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        return [(self.n, self.n)]

    def identities(self) -> list[np.ndarray]:
        return [np.eye(self.n, dtype="float32")]

    def run(self, matrices: Sequence, Z: Tensor) -> list[tuple]:
        inputs = ops.transpose(Z)
        return [(inputs, self.product.apply(matrices[0], inputs, -1))]

    def join(self, U: Tensor) -> Tensor:
        return join(U[None], self.n)

    def fold(self, matrices: Sequence, K: Tensor) -> Tensor:
        return self.product.fold(matrices[0], K)
