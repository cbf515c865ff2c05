"""DecorSeparableConv2D against its two maps in float64."""

import numpy as np

from keras_decorr.layers import DecorSeparableConv2D
from tests.helpers import perturb, undamped
from tests.layers.twins import double
from tests.reference_layers import depthwise


def test_a_map_of_each_channels_patches_then_one_of_the_channels(rng):
    layer = DecorSeparableConv2D(5, (2, 3), strides=2, decorrelator=undamped(structure="full"))
    x = rng.normal(size=(2, 6, 7, 3)).astype("float32")
    layer.build(x.shape)
    first, second = layer.depthwise, layer.pointwise
    for part in (first.decorrelation, second.decorrelation):
        perturb(part, rng)
        part.moving_mean.assign(rng.normal(size=part.moving_mean.shape))
    M, mean = double(first.decorrelation.matrices[0]), double(first.decorrelation.moving_mean)
    middle = depthwise(
        x.astype("float64"), M, mean.reshape(3, -1), double(first.kernel), first.strides
    )
    M, mean = double(second.decorrelation.matrices[0]), double(second.decorrelation.moving_mean)
    K = double(second.kernel).reshape(middle.shape[-1], -1)
    expected = (middle - mean) @ M.T @ K
    outputs = double(layer(x)).reshape(expected.shape)
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5)
