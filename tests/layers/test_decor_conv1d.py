"""What is particular to DecorConv1D: causal padding."""

import numpy as np

from keras_decorr.layers import DecorConv1D
from tests import reference
from tests.helpers import perturb, undamped
from tests.layers.twins import double, numpy


def test_an_output_is_a_map_of_the_inputs_up_to_its_step(rng):
    decorrelator = undamped(structure="full")
    layer = DecorConv1D(4, 3, padding="causal", dilation_rate=2, decorrelator=decorrelator)
    x = rng.normal(size=(2, 9, 3)).astype("float32")
    layer.build(x.shape)
    perturb(layer.decorrelation, rng)
    layer.decorrelation.moving_mean.assign(rng.normal(size=9))
    outputs = numpy(layer(x))
    later = x.copy()
    later[:, 5:] = 7.0
    np.testing.assert_allclose(numpy(layer(later))[:, :5], outputs[:, :5], rtol=1e-5, atol=1e-5)
    M = double(layer.decorrelation.matrices[0])
    mean = double(layer.decorrelation.moving_mean)
    patches = reference.patches(x.astype("float64"), (3,), (1,), (2,), "causal")
    expected = (patches - mean) @ M.T @ double(layer.kernel).reshape(9, 4)
    np.testing.assert_allclose(outputs.reshape(-1, 4), expected, rtol=1e-4, atol=1e-5)
