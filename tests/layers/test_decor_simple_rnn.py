"""What is particular to DecorSimpleRNN: its equations are short enough for a whole sequence."""

import numpy as np

from keras_decorr.layers import DecorSimpleRNN
from tests.helpers import perturb, undamped
from tests.layers.twins import double


def test_the_steps_equal_the_equations(rng):
    x = rng.normal(size=(4, 5, 3)).astype("float32")
    layer = DecorSimpleRNN(2, decorrelator=undamped(structure="full"))
    layer.build(x.shape)
    perturb(layer.decorrelation, rng)
    layer.decorrelation.moving_mean.assign(rng.normal(size=3))
    M, mean = double(layer.decorrelation.matrices[0]), double(layer.decorrelation.moving_mean)
    kernel, recurrent = double(layer.kernel), double(layer.cell.recurrent_kernel)
    h = np.zeros((4, 2))
    for t in range(5):
        h = np.tanh((x[:, t] - mean) @ M.T @ kernel + double(layer.bias) + h @ recurrent)
    np.testing.assert_allclose(double(layer(x)), h, rtol=1e-4, atol=1e-5)
