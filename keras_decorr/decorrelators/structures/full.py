"""A full M: `n^2` weights, `n^2` multiply-adds a row."""

import numpy as np
from keras import ops

from keras_decorr.decorrelators.structures.structure import Structure
from keras_decorr.maths.blocks import join


class Full(Structure):
    """One matrix over all features: removes every correlation. `groups` does not apply.

    Example:

    >>> from keras_decorr.decorrelators.structures import Full
    >>> Full(100).weights
    10000
    """

    # M acts from the left: from the right it would be transposed, and where a row of it takes a whole
    # number of pages of memory (n = 3072, 4096) a CPU then needs up to three times as long.
    row_axis = -1

    def identities(self):
        return [np.eye(self.n, dtype="float32")]

    def stages(self, matrices, Z):
        return [self.product.apply(matrices[0], ops.transpose(Z), -1)]

    def inputs(self, Z, stages):
        return [lambda: ops.transpose(Z())]

    def rows(self, U):
        return join(U[None], self.n)

    def fold(self, matrices, K):
        return self.product.fold(matrices[0], K)
