"""DecorDepthwiseConv1D against the map of the patches of each channel, in float64."""

import numpy as np

from keras_decorr.layers import DecorDepthwiseConv1D
from tests.helpers import perturb
from tests.layers.twins import double
from tests.reference_layers import depthwise


def test_outputs_of_a_channel_are_a_map_of_its_decorrelated_patches(rng):
    """The multiplier's outputs of a channel stand together."""
    layer = DecorDepthwiseConv1D(3, strides=2, depth_multiplier=2)
    x = rng.normal(size=(2, 9, 3)).astype("float32")
    layer.build(x.shape)
    perturb(layer.decorrelation, rng)
    mean = rng.normal(size=(3, layer.taps)).astype("float32")
    layer.decorrelation.moving_mean.assign(mean.reshape(-1))
    M, K = (double(v) for v in (layer.decorrelation.matrices[0], layer.kernel))
    assert M.shape == (3, layer.taps, layer.taps)
    expected = depthwise(x.astype("float64"), M, mean, K, layer.strides)
    outputs = double(layer(x)).reshape(expected.shape)
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5)
