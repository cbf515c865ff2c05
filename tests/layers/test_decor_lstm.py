"""What is particular to DecorLSTM: one M for four gates."""

import numpy as np

from keras_decorr.layers import DecorLSTM
from tests.helpers import perturb, undamped
from tests.layers.twins import double


def test_a_step_equals_the_equations(rng):
    x = rng.normal(size=(4, 1, 3)).astype("float32")
    layer = DecorLSTM(2, decorrelator=undamped(structure="full"))
    layer.build(x.shape)
    perturb(layer.decorrelation, rng)
    layer.decorrelation.moving_mean.assign(rng.normal(size=3))
    M, mean = double(layer.decorrelation.matrices[0]), double(layer.decorrelation.moving_mean)
    gates = (x[:, 0] - mean) @ M.T @ double(layer.kernel) + double(layer.bias)
    i, _, c, o = np.split(gates, 4, axis=1)  # the forget gate has nothing to forget
    expected = sigmoid(o) * np.tanh(sigmoid(i) * np.tanh(c))
    np.testing.assert_allclose(double(layer(x)), expected, rtol=1e-4, atol=1e-5)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))
