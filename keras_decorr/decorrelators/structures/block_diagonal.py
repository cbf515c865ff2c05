"""A block-diagonal M: `n^2 / g` weights, `n^2 / g` multiply-adds a row."""

from keras import ops

from keras_decorr.decorrelators.structures.structure import Structure
from keras_decorr.maths.blocks import block_identity, choose_groups, join, split


class BlockDiagonal(Structure):
    """Groups of neighbouring features: removes the correlations inside each group.

    Where no number of groups near `groups` divides the features, they are padded with zeros.

    Example:

    >>> from keras_decorr.decorrelators.structures import BlockDiagonal
    >>> BlockDiagonal(100, groups=10).weights
    1000
    """

    row_axis = -1

    def __init__(self, n, groups=32, rank=None, product=None):
        super().__init__(n, groups, rank, product)
        self.g, self.m = choose_groups(n, groups)

    @classmethod
    def of_parts(cls, n, parts, product=None):
        """A full M for each of `parts` equal parts of the features, which never meet.

        So are those of a grouped or depthwise convolution.
        """
        structure = cls(n, 1, product=product)
        structure.g, structure.m = parts, n // parts
        return structure

    def identities(self):
        return [block_identity(self.n, self.g, self.m)]

    def stages(self, matrices, Z):
        return [self.product.apply(matrices[0], split(Z, self.g, self.m), -1)]

    def inputs(self, Z, stages):
        return [lambda: split(Z(), self.g, self.m)]

    def rows(self, U):
        return join(U, self.n)

    def fold(self, matrices, K):
        K = split(ops.transpose(K), self.g, self.m)  # a column of K is a row of features
        return ops.transpose(join(self.product.fold(matrices[0], K), self.n))
