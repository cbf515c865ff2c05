"""What is particular to DecorEinsumDense: equations, and biases of several axes."""

import numpy as np
import pytest

from keras_decorr import layers
from tests.layers.twins import copy_of, folded, numpy


def test_a_kernel_with_a_batch_axis_is_refused():
    layer = layers.DecorEinsumDense("abc,bcd->abd", (4, 5))
    with pytest.raises(ValueError, match=r"equation='abc,bcd->abd'"):
        layer.build((None, 4, 6))
    with pytest.raises(ValueError, match="must be known"):
        layers.DecorEinsumDense("abc,cd->abd", (None, 5)).build((None, 4, None))


@pytest.mark.parametrize("bias_axes", [None, "b", "bd", "d"])
def test_a_bias_of_more_axes_than_the_kernel_has_columns(bias_axes, rng):
    x = rng.normal(size=(8, 7, 6)).astype("float32")
    layer = layers.DecorEinsumDense(
        "abc,cd->abd", (7, 5), bias_axes=bias_axes, bias_initializer="normal"
    )
    for _ in range(3):
        layer(x + 2.0, training=True)
    expected, plain = numpy(layer(x)), folded(layer, x.shape)
    np.testing.assert_allclose(numpy(plain(x)), expected, atol=1e-5)
    again = copy_of(plain, x.shape)  # its configuration tells of the axes of the bias
    np.testing.assert_allclose(numpy(again(x)), expected, atol=1e-5)


@pytest.mark.parametrize("equation", ["abc,cde->abde", "abcd,cde->abe", "abcd,dce->abe"])
def test_the_kernel_as_a_matrix_and_back(equation, rng):
    """Rows of features in the order of the kernel; `matrix` undoes itself by `of_matrix`."""
    output = {"abde": (None, 4, 5), "abe": (None, 5)}[equation.split("->")[1]]
    shape = (None, 3, 6) if "abc," in equation else (None, 3, 2, 4)
    layer = layers.DecorEinsumDense(equation, output)
    layer.build(shape)
    K = numpy(layer.kernel)
    matrix = numpy(layer.matrix(layer.kernel))
    assert matrix.shape[0] == layer.features == np.prod(shape[2:])
    np.testing.assert_array_equal(matrix.reshape(K.shape), K)  # features lead in these kernels
    np.testing.assert_array_equal(numpy(layer.of_matrix(matrix)), K)
