"""A full M: `n^2` weights, `n^2` multiply-adds a row."""

import keras
import numpy as np
from keras import ops

from keras_decorr.decorrelators.structures.structure import Structure
from keras_decorr.maths.blocks import join


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
    def shapes(self):
        return [(self.n, self.n)]

    def identities(self):
        return [np.eye(self.n, dtype="float32")]

    def run(self, matrices, Z):
        inputs = ops.transpose(Z)
        return [(inputs, self.product.apply(matrices[0], inputs, -1))]

    def join(self, U):
        return join(U[None], self.n)

    def fold(self, matrices, K):
        return self.product.fold(matrices[0], K)
