"""A full M: `n^2` weights, `n^2` multiply-adds a row."""

import numpy as np
from keras import ops

from keras_decorr.decorrelators.structures.structure import Structure
from keras_decorr.maths.correlation import transpose


class Full(Structure):
    """One matrix over all features: removes every correlation. `groups` does not apply."""

    def identities(self):
        return [np.eye(self.n, dtype="float32")]

    def stages(self, matrices, Z):
        U = self.apply(matrices, Z)
        return [(U, U)]

    def apply(self, matrices, Z):
        return ops.matmul(Z, transpose(matrices[0]))

    def fold(self, matrices, K):
        return ops.matmul(transpose(matrices[0]), K)
