"""The structure that is chosen by its counted cost."""

import tracemalloc

from keras_decorr.decorrelators.cost import Work
from keras_decorr.decorrelators.structures import Auto, Full, Monarch, operator_for
from keras_decorr.layers import DecorConv2D, DecorDense
from tests.helpers import undamped


def test_auto_takes_the_richest_that_is_cheap_beside_the_layer():
    auto = undamped(structure="auto")
    convolution = DecorConv2D(32, 3, padding="same", decorrelator=auto)
    convolution.build((None, 32, 32, 16))  # folding a full M costs 32 columns, not 262,144 rows
    assert type(convolution.decorrelation.operator) is Full
    dense = DecorDense(1000, decorrelator=auto)
    dense.build((None, 1000))  # a full M would cost 2/3 of the layer's own step
    assert type(dense.decorrelation.operator) is Monarch
    dense = DecorDense(1000, decorrelator=undamped(rows="pixels"))
    dense.build((None, 1000))  # of a layer without positions, the same
    assert type(dense.decorrelation.operator) is Monarch


def test_wide_layers_are_counted_without_making_a_matrix():
    """A full M of 100,000 features would take 37 GiB."""
    tracemalloc.start()
    operator = operator_for(100_000, Work(1, 4096), undamped())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert type(operator) is Monarch
    assert peak < 2**20


def test_it_hands_its_groups_on():
    operator = operator_for(100, Work(1, 100), undamped(structure=Auto(groups=5)))
    assert operator == Monarch(groups=5)
