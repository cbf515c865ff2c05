"""A Monarch M: its groups, what it mixes, and its two stages as explicit matrices."""

import numpy as np
import pytest
from keras import ops

from keras_decorr.decorrelators.structures import Monarch
from tests import reference
from tests.helpers import operator as operator_of
from tests.helpers import random_matrices, relative_error, stage_groups


def test_monarch_mixes_every_feature_with_every_other(rng):
    operator = operator_of("monarch", 48, 4)
    M = ops.convert_to_numpy(
        operator.apply(random_matrices(operator, rng), np.eye(48, dtype="float32"))
    )
    assert np.all(M != 0)


def test_groups_are_chosen_to_avoid_padding():
    widths = {
        n: [M.shape for M in operator_of("monarch", n, 16).identities()] for n in (1000, 3072)
    }
    assert widths == {1000: [(10, 100, 100)] * 2, 3072: [(16, 192, 192)] * 2}


def test_it_is_the_product_of_its_stages(rng):
    operator = Monarch(groups=4).for_features(48)
    matrices = random_matrices(operator, rng)
    first, second = (
        reference.assemble(ops.convert_to_numpy(M).astype("float64"), groups, 48)
        for M, groups in zip(matrices, stage_groups("monarch", 48, 4), strict=True)
    )
    Z = rng.normal(size=(5, 48)).astype("float32")
    found = ops.convert_to_numpy(operator.apply(matrices, Z))
    assert relative_error(found, Z @ first.T @ second.T) < 1e-5


@pytest.mark.parametrize("n", [48, 50])  # 50 is padded
def test_the_range_of_its_singular_values(n, rng):
    operator = Monarch(groups=4).for_features(n)
    matrices = random_matrices(operator, rng)
    M = ops.convert_to_numpy(operator.apply(matrices, np.eye(n, dtype="float32"))).T
    values = np.linalg.svd(M.astype("float64"), compute_uv=False)
    doubles = [ops.convert_to_numpy(M).astype("float64") for M in matrices]
    np.testing.assert_allclose(operator.singular_range(doubles), (values[0], values[-1]), rtol=1e-3)
