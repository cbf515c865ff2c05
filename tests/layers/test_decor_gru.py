"""What is particular to DecorGRU: a bias for the inputs and one for the state, or one for both."""

import numpy as np
import pytest

from keras_decorr.layers import DecorGRU
from tests.helpers import perturb, undamped
from tests.layers.twins import double, folded


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("reset_after", [True, False])
def test_the_mean_goes_into_the_bias_of_the_inputs(reset_after, use_bias, rng):
    x = rng.normal(size=(4, 5, 3)).astype("float32")
    layer = DecorGRU(2, reset_after=reset_after, use_bias=use_bias, decorrelator=undamped())
    layer(x + 1.0, training=True)
    perturb(layer.decorrelation, rng)
    plain = folded(layer, x.shape)
    shift = -double(layer.decorrelation.moving_mean) @ double(plain.cell.kernel)
    bias = double(plain.cell.bias)
    found = bias[0] if reset_after else bias
    np.testing.assert_allclose(found, shift, rtol=1e-4, atol=1e-6)
    assert bias.shape == ((2, 6) if reset_after else (6,))
    assert not reset_after or not bias[1].any()
    np.testing.assert_allclose(double(plain(x)), double(layer(x)), rtol=1e-4, atol=1e-5)
