"""What is particular to DecorConv3D: patches of three axes, each with a size of its own."""

import numpy as np
import pytest

from keras_decorr.layers import DecorConv3D
from tests import reference
from tests.helpers import perturb, undamped
from tests.layers.twins import double


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_a_patch_has_depth_height_and_width(padding, rng):
    layer = DecorConv3D(
        4, (2, 1, 3), strides=(1, 2, 1), padding=padding,
        decorrelator=undamped(0.0, structure="full"),
    )  # fmt: skip
    x = rng.normal(1.0, size=(2, 3, 4, 5, 2)).astype("float32")
    layer.build(x.shape)
    perturb(layer.decorrelation, rng)
    M = double(layer.decorrelation.matrices[0])
    patches = reference.patches(x.astype("float64"), (2, 1, 3), (1, 2, 1), (1, 1, 1), padding)
    expected = (patches - patches.mean(0)) @ M.T @ double(layer.kernel).reshape(12, 4)
    outputs = double(layer(x, training=True)).reshape(-1, 4)
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-4)
