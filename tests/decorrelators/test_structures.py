"""Every structure is one operator: apply, fold and stages say the same."""

import numpy as np
import pytest
from keras import ops

from keras_decorr.decorrelators.structures import STRUCTURES
from tests.helpers import relative_error

SIZES = [(1, 4), (2, 16), (7, 3), (27, 16), (48, 4), (50, 7), (100, 10), (1000, 16)]


def random_matrices(operator, rng):
    matrices = []
    for identity in operator.identities():
        real = identity.max(-1, keepdims=True) * identity.max(-2, keepdims=True)
        noise = rng.normal(size=identity.shape) * real / np.sqrt(identity.shape[-1])
        matrices.append(ops.convert_to_tensor((identity + noise).astype("float32")))
    return matrices


@pytest.mark.parametrize("structure", sorted(STRUCTURES))
@pytest.mark.parametrize(("n", "groups"), SIZES)
def test_identity_passes_everything_through(structure, n, groups, rng):
    operator = STRUCTURES[structure](n, groups)
    matrices = [ops.convert_to_tensor(M) for M in operator.identities()]
    Z = rng.normal(size=(3, n)).astype("float32")
    np.testing.assert_array_equal(ops.convert_to_numpy(operator.apply(matrices, Z)), Z)
    K = rng.normal(size=(n, 4)).astype("float32")
    np.testing.assert_array_equal(ops.convert_to_numpy(operator.fold(matrices, K)), K)


@pytest.mark.parametrize("structure", sorted(STRUCTURES))
@pytest.mark.parametrize(("n", "groups"), SIZES)
def test_folding_equals_applying(structure, n, groups, rng):
    operator = STRUCTURES[structure](n, groups)
    matrices = random_matrices(operator, rng)
    Z, K = rng.normal(size=(5, n)).astype("float32"), rng.normal(size=(n, 6)).astype("float32")
    applied = ops.convert_to_numpy(operator.apply(matrices, Z)).astype("float64") @ K
    folded = Z.astype("float64") @ ops.convert_to_numpy(operator.fold(matrices, K))
    assert relative_error(folded, applied) < 1e-5


def test_monarch_mixes_every_feature_with_every_other(rng):
    operator = STRUCTURES["monarch"](48, 4)
    M = ops.convert_to_numpy(
        operator.apply(random_matrices(operator, rng), np.eye(48, dtype="float32"))
    )
    assert np.all(M != 0)
    block = STRUCTURES["block_diagonal"](48, 4)
    M = ops.convert_to_numpy(block.apply(random_matrices(block, rng), np.eye(48, dtype="float32")))
    assert np.count_nonzero(M) == 48 * 12


def test_groups_are_chosen_to_avoid_padding():
    widths = {n: [M.shape for M in STRUCTURES["monarch"](n, 16).identities()] for n in (1000, 3072)}
    assert widths == {1000: [(10, 100, 100)] * 2, 3072: [(16, 192, 192)] * 2}
