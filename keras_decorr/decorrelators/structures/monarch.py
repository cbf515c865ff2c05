"""A Monarch M: two block-diagonal stages, `2 n^2 / g` weights and multiply-adds a row.

T. Dao et al., "Monarch: Expressive Structured Matrices for Efficient and Accurate Training",
arXiv 2204.00595 (2022).
"""

from keras import ops

from keras_decorr.decorrelators.structures.structure import Structure
from keras_decorr.maths import blocks


class Monarch(Structure):
    """Two stages of groups; each group of the second takes an equal share of every first group.

    What the first stage leaves between its groups, the second removes. Each stage is a decorrelator
    of its own: its inputs are what it receives. Where the square of no number near `groups` divides
    the features, they are padded with zeros.

    Example:

    >>> from keras_decorr.decorrelators.structures import Monarch
    >>> Monarch(100, groups=10).weights
    2000
    """

    row_axis = -1

    def __init__(self, n, groups=32, rank=None, product=None):
        super().__init__(n, groups, rank, product)
        self.g, self.m = blocks.choose_groups(n, groups, power=2)

    def identities(self):
        order = blocks.monarch_order(self.g, self.m)
        return [
            blocks.block_identity(self.n, self.g, self.m),
            blocks.block_identity(self.n, self.g, self.m, order),
        ]

    def stages(self, matrices, Z):
        first = self.product.apply(matrices[0], blocks.split(Z, self.g, self.m), -1)
        return [first, self.product.apply(matrices[1], blocks.exchange(first), -1)]

    def inputs(self, Z, stages):
        return [lambda: blocks.split(Z(), self.g, self.m), lambda: blocks.exchange(stages[0])]

    def rows(self, U):
        return blocks.join(blocks.exchange(U), self.n)

    def fold(self, matrices, K):
        K = blocks.split(ops.transpose(K), self.g, self.m)  # a column of K is a row of features
        K = blocks.exchange(self.product.fold(matrices[1], blocks.exchange(K)))
        return ops.transpose(blocks.join(self.product.fold(matrices[0], K), self.n))
