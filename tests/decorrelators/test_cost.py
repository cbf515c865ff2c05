"""Counted costs against counting by hand."""

import pytest

from keras_decorr.decorrelators import ZCA, Foldiak, Recurrent
from keras_decorr.decorrelators.cost import Work, cost
from keras_decorr.decorrelators.structures import BlockDiagonal, Full, operator_for
from keras_decorr.layers import DecorConv2D, DecorDepthwiseConv2D
from tests.helpers import operator as operator_of
from tests.helpers import undamped


def test_a_dense_layer_counted_by_hand():
    """n = 100, 50 units, a batch of 20: M is applied to the batch; 3 rows are sampled."""
    operator = Full().for_features(100)
    counted = cost(operator, Work(rows=1, columns=50), undamped(structure="full"), batch=20)
    assert counted.plain_step == 3 * 20 * 100 * 50
    assert counted.apply == 2 * 20 * 100**2
    assert counted.sample == 3 * 100**2
    assert counted.update == 2 * 3 * 100**2 + 3 * 3 * 100
    assert counted.extra_step == counted.apply + counted.sample + counted.update
    assert counted.plain_inference == 20 * 100 * 50
    assert counted.inference == 20 * 100**2


def test_a_convolution_counted_by_hand():
    """n = 27, 8 filters, 36 positions, a batch of 4: folded; 1 image, of whose patches 20 are taken."""
    decorrelator = undamped(structure="full", max_samples=20, update_every=2)
    work = Work(rows=36, columns=8, folds=True)
    counted = cost(Full().for_features(27), work, decorrelator, batch=4)
    assert counted.plain_step == 3 * 4 * 36 * 27 * 8
    assert counted.apply == 2 * 8 * 27**2
    assert counted.sample == 20 * 27**2 // 2
    step, loss = 2 * 20 * 27**2, 20 * 20 * 27
    assert counted.update == (step + loss) // 2


def test_m_on_the_gradient_costs_nothing_in_inference():
    decorrelator = undamped(structure="full", acts_on="gradient")
    work = Work(rows=1, columns=50, folds=True)
    counted = cost(Full().for_features(100), work, decorrelator, batch=20)
    assert counted.apply == 2 * 50 * 100**2
    assert counted.inference == 0


@pytest.mark.parametrize(
    ("structure", "weights", "row_cost"),
    [
        ("full", 96**2, 96**2),
        ("block_diagonal", 96**2 // 4, 96**2 // 4),
        ("monarch", 2 * 96**2 // 4, 2 * 96**2 // 4),
        ("low_rank", 96 * 5 + 5**2 + 1, 2 * 96 * 5 + 5**2),
    ],
)
def test_the_cost_of_a_structure(structure, weights, row_cost):
    operator = operator_of(structure, 96, 4, 5)
    assert (operator.weights, operator.row_cost) == (weights, row_cost)


def test_the_rules_counted_by_hand():
    """n = 100, 20 columns, folded, 3 rows: the fixed point is at most 11 products for one."""
    work = Work(rows=1, columns=20, folds=True)

    def counted(decorrelator):
        return cost(operator_for(100, work, decorrelator), work, decorrelator, batch=20)

    loss = 3 * 3 * 100
    for cls in (Recurrent, Foldiak):
        found = counted(cls(structure="full", steps=10))
        assert found.apply == 2 * 20 * 11 * 100**2
        assert found.inference == 20 * 11 * 100**2
        assert found.sample == 3 * 11 * 100**2
        rule, check = 3 * 100**2, (3 + 12) * 100**2
        assert found.update == rule + check + loss
    found = counted(ZCA(structure="full", iterations=4))
    assert found.apply == 2 * 20 * 100**2
    assert (found.sample, found.update) == (3 * 100**2, 3 * 100**2 + 12 * 100**3 + loss)
    found = counted(ZCA(structure="block_diagonal", groups=4, method="eigh"))
    assert found.sample == 3 * 100**2 // 4
    assert found.update == 4 * (3 * 25**2 + 6 * 25**3) + loss


def test_parts_that_never_meet_have_a_full_matrix_each():
    operator = operator_for(36, Work(9, 2, True, parts=4), undamped(structure="low_rank"))
    assert type(operator) is BlockDiagonal
    assert [M.shape for M in operator.identities()] == [(4, 9, 9)]
    layer = DecorDepthwiseConv2D(3)
    layer.build((None, 8, 8, 5))
    assert [tuple(M.shape) for M in layer.decorrelation.matrices] == [(5, 9, 9)]


def test_pixels_cost_the_channels_alone():
    layer = DecorConv2D(8, 3, decorrelator=undamped(rows="pixels"))
    layer.build((None, 10, 10, 16))
    assert layer.features == 16
    assert layer.decorrelation.work == Work(64, 8 * 9, folds=True, pixels=True)
