"""Backpropagation is the gradient of the compiled loss."""

import keras
import numpy as np
from keras import ops

import keras_decorr
from keras_decorr.layers import DecorDense
from keras_decorr.rules import Backprop
from keras_decorr.training import gradients


def test_the_gradient_of_a_linear_map(rng):
    layer = DecorDense(2, decorrelator=None)
    model = keras_decorr.Sequential([keras.Input((3,)), layer])
    model.compile("sgd", "mse", learning_rule=Backprop())
    x, y = (rng.normal(size=(8, n)).astype("float32") for n in (3, 2))
    error = 2.0 * (x @ ops.convert_to_numpy(layer.kernel) - y) / y.size
    for found, expected in zip(gradients(model, x, y), (x.T @ error, error.sum(0)), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_it_keeps_nothing():
    model = keras_decorr.Sequential([keras.Input((3,)), DecorDense(2)])
    model.compile("sgd", "mse")
    assert isinstance(model.learning_rule, Backprop)
    assert model.learning_rule_state is None
    assert Backprop.from_config(Backprop().get_config()).get_config() == {}
