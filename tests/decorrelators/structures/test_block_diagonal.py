"""A block-diagonal M: its groups, and the parts of a grouped convolution."""

import numpy as np
from keras import ops

from keras_decorr.decorrelators.structures import BlockDiagonal
from tests import reference
from tests.helpers import random_matrices, relative_error


def test_it_mixes_the_features_of_a_group_alone(rng):
    block = BlockDiagonal(groups=4).for_features(48)
    M = ops.convert_to_numpy(block.apply(random_matrices(block, rng), np.eye(48, dtype="float32")))
    assert np.count_nonzero(M) == 48 * 12
    within = reference.assemble(np.ones((4, 12, 12)), reference.contiguous(48, 4), 48)
    np.testing.assert_array_equal(M != 0, within == 1)


def test_parts_are_as_many_as_asked_for_however_wide(rng):
    """`groups` would choose 5 groups of 10 here, to avoid padding."""
    assert BlockDiagonal(groups=7).for_features(50).shapes == [(5, 10, 10)]
    operator = BlockDiagonal.of_parts(50, 2)
    assert operator.shapes == [(2, 25, 25)]
    matrices = random_matrices(operator, rng)
    M = ops.convert_to_numpy(matrices[0])
    M = reference.assemble(M.astype("float64"), reference.contiguous(50, 2), 50)
    Z = rng.normal(size=(5, 50)).astype("float32")
    assert relative_error(ops.convert_to_numpy(operator.apply(matrices, Z)), Z @ M.T) < 1e-5
