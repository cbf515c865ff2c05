"""A feature that never varies, a pixel of the border say, does not grow."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_decorr.decorrelators import DecorrelatedBackprop, NormPreserving, Recurrent
from keras_decorr.layers import Decorrelation

RULES = {
    "norm_preserving": lambda s: NormPreserving(
        1e-2, gain_rate=1.0, sample_fraction=1.0, structure=s
    ),
    "of raw norms": lambda s: NormPreserving(1e-2, "raw", 1.0, sample_fraction=1.0, structure=s),
    "decorrelated_backprop": lambda s: DecorrelatedBackprop(0.5, learning_rate=1e-2, structure=s),
    "recurrent": lambda s: Recurrent(1e-2, sample_fraction=1.0, structure=s),
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("structure", ["full", "monarch", "block_diagonal"])
def test_its_row_of_m_stays_as_it_is(rule, structure, rng):
    mixing = np.eye(16) + 0.4 * rng.normal(size=(16, 16))
    x = (rng.normal(size=(64, 16)) @ mixing).astype("float32")
    x[:, 3] = 0.1  # its mean is not 0.1 to the last bit
    x[:, 9] = 0.0
    layer = Decorrelation(RULES[rule](structure))
    seen = ops.convert_to_tensor(x)
    for _ in range(400):
        layer(seen, training=True)
    brighter = x.copy()
    brighter[:, [3, 9]] += 1.0
    change = ops.convert_to_numpy(layer(brighter)) - ops.convert_to_numpy(layer(x))
    assert 0.5 < np.abs(change).max() < 4.0
    assert np.isfinite(change).all() and keras.ops.convert_to_numpy(layer.skipped_updates) == 0
