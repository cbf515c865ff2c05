"""DecorConv1DTranspose against the sum of the patches of its pixels, in float64."""

import numpy as np

from keras_decorr.layers import DecorConv1DTranspose
from tests.helpers import perturb, undamped
from tests.layers.twins import double
from tests.reference_layers import transposed


def test_every_decorrelated_pixel_adds_its_patch(rng):
    decorrelator = undamped(structure="full")
    layer = DecorConv1DTranspose(4, 3, strides=2, decorrelator=decorrelator)
    x = rng.normal(size=(2, 5, 3)).astype("float32")
    layer.build(x.shape)
    perturb(layer.decorrelation, rng)
    M = double(layer.decorrelation.matrices[0])
    expected = transposed(x @ M.T, double(layer.kernel), layer.strides)
    assert tuple(layer.compute_output_shape(x.shape)) == expected.shape
    np.testing.assert_allclose(double(layer(x)), expected, rtol=1e-4, atol=1e-5)
