"""What the convolutions share: the kernel as a matrix, and the sums and samples of patches."""

import numpy as np
import pytest
from keras import ops

from keras_decorr.context import collection
from keras_decorr.layers import DecorConv2D
from tests import reference
from tests.helpers import undamped
from tests.layers.twins import double, numpy


def layer_of(shape, filters=4, kernel=(2, 3), **arguments):
    rule = {name: arguments.pop(name) for name in ("rows", "max_samples") if name in arguments}
    decorrelator = undamped(structure="full", sample_fraction=1.0, **rule)
    layer = DecorConv2D(filters, kernel, decorrelator=decorrelator, **arguments)
    layer.build(shape)
    return layer


@pytest.mark.parametrize("rows", ["patches", "pixels"])
@pytest.mark.parametrize("groups", [1, 2])
def test_the_kernel_as_a_matrix_and_back(groups, rows):
    layer = layer_of((None, 5, 6, 4), groups=groups, rows=rows)
    K = numpy(layer.kernel)
    taps, c, f = 6, 4 // groups, 4 // groups
    parts = K.reshape(taps, c, groups, f).transpose(2, 0, 1, 3)  # (groups, taps, c, f)
    if rows == "pixels":
        expected = parts.transpose(0, 2, 1, 3).reshape(groups * c, taps * f)
    else:
        expected = parts.reshape(groups * taps * c, f)
    matrix = layer.matrix(layer.kernel)
    np.testing.assert_array_equal(numpy(matrix), expected)
    np.testing.assert_array_equal(numpy(layer.of_matrix(matrix)), K)


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_the_sum_the_number_and_the_sample_of_the_patches(padding, rng):
    x = rng.normal(size=(2, 5, 6, 3)).astype("float32")
    layer = layer_of(x.shape, padding=padding, strides=(1, 2), max_samples=None)
    patches = reference.patches(x.astype("float64"), (2, 3), (1, 2), (1, 1), padding)
    _, total = layer.row_sum(ops.convert_to_tensor(x))
    np.testing.assert_allclose(double(total), patches.sum(0), rtol=1e-5, atol=1e-5)
    assert float(layer.row_count(ops.convert_to_tensor(x))) == len(patches)
    with collection.collect() as samples:
        layer(x, training=True)
    ((_, (sample,)),) = samples.flush()
    np.testing.assert_allclose(numpy(sample.extracted().X), patches, rtol=1e-6)


def test_at_most_so_many_patches_are_sampled_evenly_over_the_images(rng):
    x = np.broadcast_to(np.arange(8.0)[:, None, None, None], (8, 5, 6, 1)).astype("float32")
    layer = layer_of(x.shape, max_samples=16)
    with collection.collect() as samples:
        layer(x, training=True)
    ((_, (sample,)),) = samples.flush()
    image = numpy(sample.extracted().X)[:, 0]
    np.testing.assert_array_equal(np.bincount(image.astype(int)), [2] * 8)
