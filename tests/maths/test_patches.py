"""Patches and their sum against an explicit loop."""

import numpy as np
import pytest
from keras import ops

from keras_decorr.maths.patches import Window, patch_sum, patches_at
from tests import reference


def check(images, kernel, strides, dilation, padding, rng):
    windows = [Window(k, s, d, padding) for k, s, d in zip(kernel, strides, dilation, strict=True)]
    expected = reference.patches(images, kernel, strides, dilation, padding)
    index = rng.permutation(len(expected)).astype("int32")
    patches = patches_at(ops.convert_to_tensor(images), ops.convert_to_tensor(index), windows)
    patches = ops.convert_to_numpy(patches)
    assert patches.shape[1:] == (np.prod(kernel), images.shape[-1])
    np.testing.assert_array_equal(patches.reshape(len(index), -1), expected[index])
    total = ops.convert_to_numpy(patch_sum(ops.convert_to_tensor(images.sum(0)), windows))
    np.testing.assert_allclose(total.reshape(-1), expected.sum(0), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (2, 4)])
@pytest.mark.parametrize("strides", [(1, 1), (2, 3)])
@pytest.mark.parametrize("dilation", [(1, 1), (2, 1)])
def test_patches_and_their_sum(padding, kernel, strides, dilation, rng):
    images = rng.normal(size=(2, 8, 11, 3)).astype("float32")
    check(images, kernel, strides, dilation, padding, rng)


@pytest.mark.parametrize("padding", ["same", "valid", "causal"])
@pytest.mark.parametrize(("kernel", "stride", "dilation"), [(3, 1, 1), (2, 2, 3), (4, 3, 1)])
def test_one_axis(padding, kernel, stride, dilation, rng):
    check(
        rng.normal(size=(3, 9, 2)).astype("float32"),
        (kernel,),
        (stride,),
        (dilation,),
        padding,
        rng,
    )


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_three_axes(padding, rng):
    images = rng.normal(size=(2, 4, 5, 6, 2)).astype("float32")
    check(images, (2, 3, 1), (1, 2, 3), (2, 1, 1), padding, rng)


def test_the_patch_sum_of_a_long_signal_needs_memory_for_the_signal_alone(rng):
    # An array of kernel x positions x pixels would have 9e9 elements.
    signal = rng.normal(size=(32_000, 1)).astype("float32")
    total = ops.convert_to_numpy(
        patch_sum(ops.convert_to_tensor(signal), [Window(9, 1, 1, "same")])
    )
    padded = np.pad(signal[:, 0].astype("float64"), 4)
    expected = [padded[tap : tap + 32_000].sum() for tap in range(9)]
    np.testing.assert_allclose(total[:, 0] / 32_000, np.array(expected) / 32_000, atol=1e-6)
