"""What the transposed convolutions share: rows are pixels, and the kernel is turned."""

import numpy as np
import pytest

from keras_decorr.layers import DecorConv2DTranspose
from tests.helpers import perturb, undamped
from tests.layers.twins import built, decorrelated, double, numpy
from tests.reference_layers import OTHERS


@pytest.mark.parametrize("name", ["Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"])
def test_transposed_convolutions_see_decorrelated_pixels(name, rng):
    cls, arguments, shape = OTHERS[name]
    plain, x = built(cls, arguments, shape, rng)
    layer = decorrelated(plain, x.shape, undamped(structure="full"))
    assert not layer.decorrelator.center
    perturb(layer.decorrelation, rng)
    M = double(layer.decorrelation.matrices[0])
    expected = numpy(plain((x.astype("float64") @ M.T).astype("float32")))
    np.testing.assert_allclose(numpy(layer(x)), expected, rtol=1e-4, atol=1e-5)


def test_the_rows_of_the_kernel_as_a_matrix_are_the_channels(rng):
    """A kernel is `(*kernel_size, filters, channels)`."""
    layer = DecorConv2DTranspose(5, (2, 3))
    layer.build((None, 4, 6, 3))
    K = numpy(layer.kernel)
    assert K.shape == (2, 3, 5, 3) and layer.features == 3
    matrix = numpy(layer.matrix(layer.kernel))
    np.testing.assert_array_equal(matrix, K.reshape(-1, 3).T)
    np.testing.assert_array_equal(numpy(layer.of_matrix(matrix)), K)
    assert layer.decorrelation.work.rows == 4 * 6
    assert layer.decorrelation.work.columns == 2 * 3 * 5
