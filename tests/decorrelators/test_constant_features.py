"""A feature that never varies, a pixel of the border say, does not grow."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_decorr.decorrelators import DecorrelatedBackprop, Recurrent
from tests.decorrelators.lateral import trained
from tests.helpers import undamped

RATE = 0.1
RULES = {
    "norm_preserving": lambda s: undamped(RATE, gain_rate=1.0, sample_fraction=1.0, structure=s),
    "of raw norms": lambda s: undamped(RATE, "raw", 1.0, sample_fraction=1.0, structure=s),
    "decorrelated_backprop": lambda s: DecorrelatedBackprop(0.5, learning_rate=RATE, structure=s),
    "recurrent": lambda s: Recurrent(RATE, sample_fraction=1.0, structure=s),
}
CASES = [
    (rule, s)
    for rule in RULES
    for s in ("full", "monarch")
    if (rule, s) != ("recurrent", "monarch")
]


@pytest.mark.parametrize(("rule", "structure"), CASES)
def test_its_row_of_m_stays_as_it_is(rule, structure, rng):
    mixing = np.eye(16) + 0.4 * rng.normal(size=(16, 16))
    x = (rng.normal(size=(64, 16)) @ mixing).astype("float32")
    x[:, 3] = 0.1  # its mean is not 0.1 to the last bit
    x[:, 9] = 0.0
    layer, steps = trained(RULES[rule](structure), x)
    steps(40)
    brighter = x.copy()
    brighter[:, [3, 9]] += 1.0
    change = ops.convert_to_numpy(layer(brighter)) - ops.convert_to_numpy(layer(x))
    assert 0.5 < np.abs(change).max() < 4.0
    assert np.isfinite(change).all() and keras.ops.convert_to_numpy(layer.skipped_updates) == 0
