"""Cutting features into groups and back, and the permutation between the stages of a Monarch map."""

import numpy as np
import pytest
from keras import ops

from keras_decorr.maths import blocks
from tests import reference


def numpy(x):
    return ops.convert_to_numpy(x)


@pytest.mark.parametrize(
    ("n", "groups", "power", "expected"),
    [
        (48, 4, 1, (4, 12)),
        (50, 7, 1, (5, 10)),  # 7 and 6 need padding, 5 does not
        (7, 32, 1, (7, 1)),
        (1000, 16, 2, (10, 100)),
        (3072, 16, 2, (16, 192)),
        (13, 3, 2, (2, 8)),  # 3 would need 5 zeros of padding, 2 needs 3
    ],
)
def test_the_number_of_groups_is_the_one_with_the_least_padding(n, groups, power, expected):
    assert blocks.choose_groups(n, groups, power) == expected


def test_the_identity_is_zero_on_the_padding():
    identity = blocks.block_identity(7, 2, 4)
    np.testing.assert_array_equal(
        reference.assemble(identity, reference.contiguous(8, 2), 8), np.diag([1.0] * 7 + [0.0])
    )
    # In the second stage the padding stands where the order puts feature 7.
    order = blocks.monarch_order(2, 4)
    second = blocks.block_identity(7, 2, 4, order)
    real = second.max(-1).reshape(-1)
    np.testing.assert_array_equal(order[real == 0], [7])


def test_the_second_stage_takes_an_equal_share_of_every_group():
    order = blocks.monarch_order(3, 6).reshape(3, 6)
    assert order.tolist() == reference.monarch_second(18, 3)


def test_joining_undoes_splitting_and_exchanging_undoes_itself(rng):
    X = rng.normal(size=(5, 17)).astype("float32")
    groups = blocks.split(ops.convert_to_tensor(X), 3, 6)
    padded = np.pad(X, ((0, 0), (0, 1)))
    np.testing.assert_array_equal(numpy(groups), padded.T.reshape(3, 6, 5))
    np.testing.assert_array_equal(numpy(blocks.join(groups, 17)), X)
    exchanged = blocks.exchange(groups)
    expected = padded.T[blocks.monarch_order(3, 6)].reshape(3, 6, 5)
    np.testing.assert_array_equal(numpy(exchanged), expected)
    np.testing.assert_array_equal(numpy(blocks.exchange(exchanged)), numpy(groups))
