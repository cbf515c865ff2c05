"""A full M: `n^2` weights, `n^2` multiply-adds a row."""

import numpy as np
from keras import ops

from keras_decorr.decorrelators.structures.structure import Structure


class Full(Structure):
    """One matrix over all features: removes every correlation. `groups` does not apply.

    Example:

    >>> from keras_decorr.decorrelators.structures import Full
    >>> Full(100).weights
    10000
    """

    def identities(self):
        return [np.eye(self.n, dtype="float32")]

    def stages(self, matrices, Z):
        # As a batch of one: with a transposed factor TensorFlow's batched product on a CPU takes 0.6
        # of the time of its plain one (0.3 for a few rows).
        return [ops.squeeze(self.product.apply(matrices[0][None], Z[None], -2), 0)]

    def rows(self, U):
        return U

    def fold(self, matrices, K):
        return self.product.fold(matrices[0], K)
