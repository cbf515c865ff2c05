"""What is particular to DecorRNN: the recurrent layer that it holds."""

import keras
import numpy as np
import pytest

from keras_decorr.layers import DecorRNN
from tests.helpers import perturb, undamped
from tests.layers.twins import built, decorrelated, double, numpy
from tests.reference_layers import OTHERS


@pytest.mark.parametrize("name", ["LSTM", "GRU", "SimpleRNN"])
def test_recurrent_layers_see_decorrelated_steps(name, rng):
    cls, arguments, shape = OTHERS[name]
    plain, x = built(cls, arguments, shape, rng)
    layer = decorrelated(plain, x.shape, undamped(structure="full"))
    perturb(layer.decorrelation, rng)
    layer.decorrelation.moving_mean.assign(rng.normal(size=3))
    M, mean = (
        double(v) for v in (layer.decorrelation.matrices[0], layer.decorrelation.moving_mean)
    )
    expected = numpy(plain(((x - mean) @ M.T).astype("float32")))
    np.testing.assert_allclose(numpy(layer(x)), expected, rtol=1e-4, atol=1e-5)


def test_a_recurrent_layer_must_be_one_that_can_be_folded():
    with pytest.raises(ValueError, match=r"`layer` of DecorRNN.*Received: <Bidirectional"):
        DecorRNN(keras.layers.Bidirectional(keras.layers.LSTM(3)))
