"""What all learning rules have in common."""

import numpy as np
import pytest
from keras import ops

import keras_decorr
from keras_decorr.rules import LearningRule
from keras_decorr.training import gradients
from tests.rules.nets import compiled, conv_layers, data, dense_layers


def test_a_refused_compile_leaves_a_model_that_can_be_compiled(rng):
    model = keras_decorr.Sequential(conv_layers())
    with pytest.raises(ValueError):
        compiled(model, "hebb")
    with pytest.raises(ValueError):
        compiled(model, "node_perturbation", loss=lambda y, y_pred: ops.mean(y_pred))
    compiled(model, "node_perturbation").train_on_batch(*data(model, rng, 4))


class Half(LearningRule):
    """Half of the loss."""

    def compute_loss(self, model, loss_of, x, y, y_pred, sample_weight):
        return 0.5 * loss_of(y_pred)


def test_a_rule_of_ones_own_trains_by_its_scalar(rng):
    model = keras_decorr.Sequential(dense_layers())
    compiled(model, Half())
    x, y = data(model, rng, 8)
    for half, whole in zip(gradients(model, x, y), gradients(model, x, y, "backprop"), strict=True):
        np.testing.assert_allclose(half, 0.5 * whole, rtol=1e-4, atol=1e-7)
    assert model.learning_rule_state is None
    assert isinstance(Half.from_config(Half().get_config()), Half)


def test_the_base_class_is_abstract():
    with pytest.raises(TypeError, match="abstract"):
        LearningRule()
