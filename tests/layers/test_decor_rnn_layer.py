"""What the recurrent layers share: one M for the inputs of all steps, and a bias for the mean."""

import keras
import numpy as np
import pytest

from keras_decorr.layers import DecorSimpleRNN
from tests.helpers import perturb, undamped
from tests.layers.twins import built, decorrelated, double, numpy, ours
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


def test_m_learns_from_the_steps_that_a_mask_keeps(rng):
    x = rng.normal(size=(6, 4, 3)).astype("float32")
    mask = rng.random((6, 4)) < 0.6
    layer = DecorSimpleRNN(2, decorrelator=undamped())
    layer(x, mask=keras.ops.convert_to_tensor(mask), training=True)
    mean = numpy(layer.decorrelation.moving_mean)
    np.testing.assert_allclose(mean, x[mask].mean(0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("cls", [keras.layers.LSTM, keras.layers.GRU, keras.layers.SimpleRNN])
def test_a_kernel_that_is_read_in_a_loop_takes_no_m_on_its_gradient(cls):
    layer = cls(3)
    on_gradient = undamped(acts_on="gradient")
    assert "acts_on='gradient'" in ours(cls).reason_against(layer, on_gradient)
    assert ours(cls).reason_against(layer, undamped()) is None


def test_the_state_of_the_twin_is_carried_on_and_reset(rng):
    layer = DecorSimpleRNN(4, stateful=True)
    layer(rng.normal(size=(2, 3, 5)).astype("float32"))
    assert np.abs(numpy(layer.states[0])).sum() > 0
    layer.reset_states()
    assert np.abs(numpy(layer.states[0])).sum() == 0
