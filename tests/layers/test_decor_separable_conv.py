"""What the separable convolutions share: two decorrelating layers with the arguments of one."""

import keras
import numpy as np
import pytest

from keras_decorr.layers import DecorSeparableConv2D
from tests.helpers import undamped
from tests.layers.twins import numpy


def test_the_arguments_go_to_the_convolution_that_they_are_for():
    layer = DecorSeparableConv2D(
        5, 3, strides=2, padding="same", depth_multiplier=2, activation="tanh",
        depthwise_regularizer="l1", pointwise_regularizer="l2", bias_initializer="ones",
    )  # fmt: skip
    layer.build((None, 8, 8, 3))
    first, second = layer.depthwise.layer, layer.pointwise.layer
    assert (first.strides, first.padding, first.depth_multiplier) == ((2, 2), "same", 2)
    assert isinstance(first.depthwise_regularizer, keras.regularizers.L1) and first.bias is None
    assert (second.filters, second.kernel_size, second.strides) == (5, (1, 1), (1, 1))
    assert isinstance(second.kernel_regularizer, keras.regularizers.L2)
    assert second.activation is keras.activations.tanh
    np.testing.assert_array_equal(numpy(second.bias), np.ones(5))
    assert layer.features == layer.pointwise.features == 6


@pytest.mark.parametrize("rows", ["patches", "pixels"])
def test_pixels_leave_the_depthwise_convolution_without_m(rows):
    layer = DecorSeparableConv2D(5, 3, decorrelator=undamped(rows=rows))
    assert (layer.depthwise.decorrelation is None) == (rows == "pixels")
    assert layer.pointwise.decorrelation is not None
    assert layer.pointwise.decorrelator is not layer.decorrelator
