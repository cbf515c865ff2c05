"""What the separable convolutions share: two decorrelating layers with the arguments of one."""

import keras
import numpy as np
import pytest

from keras_decorr.layers import DecorSeparableConv1D, DecorSeparableConv2D
from tests.helpers import perturb, undamped
from tests.layers.twins import decorrelations, folded, numpy


def test_the_arguments_go_to_the_convolution_that_they_are_for():
    layer = DecorSeparableConv2D(
        5, 3, strides=2, padding="same", depth_multiplier=2, activation="tanh",
        bias_initializer="ones",
    )  # fmt: skip
    layer.build((None, 8, 8, 3))
    first, second = layer.depthwise, layer.pointwise
    assert (first.strides, first.padding, first.depth_multiplier) == ((2, 2), "same", 2)
    assert first.bias is None
    assert (second.filters, second.kernel_size, second.strides) == (5, (1, 1), (1, 1))
    assert second.activation is keras.activations.tanh
    np.testing.assert_array_equal(numpy(second.bias), np.ones(5))
    assert (first.features, second.features) == (3 * 9, 6)
    assert layer.features == 3 * 9


def test_the_weights_are_its_own_and_each_is_penalized_once():
    layer = DecorSeparableConv2D(5, 3, depthwise_regularizer="l1", pointwise_regularizer="l2")
    layer.build((None, 8, 8, 3))
    assert layer.depthwise.kernel is layer.depthwise_kernel
    assert layer.pointwise.kernel is layer.pointwise_kernel
    assert layer.pointwise.bias is layer.bias
    assert [v.name for v in layer.trainable_weights] == [
        "depthwise_kernel", "pointwise_kernel", "bias",
    ]  # fmt: skip
    expected = [
        0.01 * np.abs(numpy(layer.depthwise_kernel)).sum(),
        0.01 * np.square(numpy(layer.pointwise_kernel)).sum(),
    ]
    np.testing.assert_allclose([float(loss) for loss in layer.losses], expected, rtol=1e-5)


@pytest.mark.parametrize("rows", ["patches", "pixels"])
def test_pixels_leave_the_depthwise_convolution_without_m(rows):
    layer = DecorSeparableConv2D(5, 3, decorrelator=undamped(rows=rows))
    layer.build((None, 8, 8, 3))
    assert (layer.depthwise.decorrelation is None) == (rows == "pixels")
    assert layer.pointwise.decorrelation is not None
    assert layer.pointwise.decorrelator is not layer.decorrelator


def test_without_a_decorrelator_there_is_nothing_inside():
    layer = DecorSeparableConv1D(5, 3, decorrelator=None)
    layer.build((None, 8, 3))
    assert list(layer._flatten_layers()) == [layer]
    assert layer.features is None


@pytest.mark.parametrize("rows", ["patches", "pixels"])
def test_the_means_of_both_go_through_the_pointwise_kernel_into_a_bias(rows, rng):
    x = rng.normal(size=(4, 9, 3)).astype("float32") + 1.0
    layer = DecorSeparableConv1D(5, 3, use_bias=False, decorrelator=undamped(rows=rows))
    layer(x, training=True)
    for part in decorrelations(layer):
        perturb(part, rng)
    plain = folded(layer, x.shape)
    assert plain.use_bias
    np.testing.assert_allclose(numpy(plain(x)), numpy(layer(x)), rtol=1e-4, atol=1e-5)
