"""Patches and their mean against an explicit loop."""

import numpy as np
import pytest
from keras import ops

from keras_decorr.maths.patches import Window, mean_patch, patches_at
from tests import reference


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (2, 4)])
@pytest.mark.parametrize("strides", [(1, 1), (2, 3)])
@pytest.mark.parametrize("dilation", [(1, 1), (2, 1)])
def test_patches_and_their_mean(padding, kernel, strides, dilation, rng):
    images = rng.normal(size=(2, 8, 11, 3)).astype("float32")
    windows = [
        Window(k, s, d, padding == "same")
        for k, s, d in zip(kernel, strides, dilation, strict=True)
    ]
    expected = reference.patches(images, kernel, strides, dilation, padding)
    index = rng.permutation(len(expected)).astype("int32")
    patches = patches_at(ops.convert_to_tensor(images), ops.convert_to_tensor(index), *windows)
    np.testing.assert_array_equal(ops.convert_to_numpy(patches), expected[index])
    mean = mean_patch(ops.convert_to_tensor(images.mean(0)), *windows)
    np.testing.assert_allclose(ops.convert_to_numpy(mean), expected.mean(0), atol=1e-6)
