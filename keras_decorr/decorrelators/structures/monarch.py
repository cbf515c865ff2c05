"""A Monarch M: two block-diagonal stages, `2 n^2 / g` weights and multiply-adds a row.

T. Dao et al., "Monarch: Expressive Structured Matrices for Efficient and Accurate Training",
arXiv 2204.00595 (2022).
"""

from keras import ops

from keras_decorr.decorrelators.structures.structure import Structure
from keras_decorr.maths import blocks
from keras_decorr.maths.correlation import transpose


class Monarch(Structure):
    """Two stages of groups; each group of the second takes an equal share of every first group.

    What the first stage leaves between its groups, the second removes. Each stage is a decorrelator
    of its own: its inputs are what it receives.
    """

    def __init__(self, n, groups):
        super().__init__(n, groups)
        self.g, self.m = blocks.block_size(n, groups)

    def identities(self):
        order = blocks.monarch_order(self.g, self.m)
        return [
            blocks.block_identity(self.n, self.g, self.m),
            blocks.block_identity(self.n, self.g, self.m, order),
        ]

    def stages(self, matrices, Z):
        first = ops.matmul(blocks.split(Z, self.g, self.m), transpose(matrices[0]))
        return [first, ops.matmul(blocks.shuffle(first), transpose(matrices[1]))]

    def rows(self, U):
        return blocks.join(blocks.unshuffle(U), self.n)

    def fold(self, matrices, K):
        K = blocks.split(ops.transpose(K), self.g, self.m)
        K = blocks.unshuffle(ops.matmul(blocks.shuffle(K), matrices[1]))
        return ops.transpose(blocks.join(ops.matmul(K, matrices[0]), self.n))
