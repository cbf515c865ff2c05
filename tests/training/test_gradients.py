"""The gradients of a training step, without the step."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_decorr
from keras_decorr.layers import DecorDense
from keras_decorr.rules import NodePerturbation
from keras_decorr.training import gradients


def network(rule="backprop", **compiled):
    layers = [keras.Input((5,)), DecorDense(4, activation="tanh"), DecorDense(2)]
    model = keras_decorr.Sequential(layers)
    model.compile(keras.optimizers.SGD(0.1), "mse", learning_rule=rule, **compiled)
    return model


def data(rng):
    return (rng.normal(size=(8, n)).astype("float32") for n in (5, 2))


def values(model):
    return [ops.convert_to_numpy(v).copy() for v in model.variables]


@pytest.mark.parametrize("rule", ["backprop", "feedback_alignment"])
def test_a_step_of_gradient_descent_subtracts_them(rule, rng):
    x, y = data(rng)
    model = network(rule)
    found = gradients(model, x, y)
    before = [ops.convert_to_numpy(v).copy() for v in model.trainable_variables]
    model.train_on_batch(x, y)
    for gradient, old, new in zip(found, before, model.trainable_variables, strict=True):
        np.testing.assert_allclose(
            old - 0.1 * gradient, ops.convert_to_numpy(new), rtol=1e-4, atol=1e-6
        )


@pytest.mark.parametrize("rule", ["backprop", NodePerturbation(seed=1)])
def test_nothing_is_changed(rule, rng):
    x, y = data(rng)
    model = network(rule)
    before = values(model)
    first = gradients(model, x, y)
    for a, b in zip(values(model), before, strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(gradients(model, x, y), first, strict=True):  # the noise is that of one step
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_sample_weights_and_frozen_kernels(rng):
    x, y = data(rng)
    model = network()
    kept = np.r_[np.ones(4), np.zeros(4)].astype("float32")
    model.layers[0].trainable = False  # its mean would depend on the other half
    found = gradients(model, x, y, sample_weight=2.0 * kept)
    assert len(found) == len(model.trainable_variables) == 2
    assert not np.allclose(found[0], gradients(model, x, y)[0])


def test_a_model_must_be_compiled_and_built():
    model = keras_decorr.Sequential([keras.Input((5,)), DecorDense(2)])
    with pytest.raises(ValueError, match=r"built and compiled.*compiled=False"):
        gradients(model, np.ones((2, 5)), np.ones((2, 2)))
    model = keras_decorr.Sequential([DecorDense(2)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r"built and compiled.*built=False"):
        gradients(model, np.ones((2, 5)), np.ones((2, 2)))
