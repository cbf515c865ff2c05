"""What all learning rules have in common."""

import pytest
from keras import ops

import keras_decorr
from tests.rules.nets import compiled, conv_layers, data


def test_a_refused_compile_leaves_a_model_that_can_be_compiled(rng):
    model = keras_decorr.Sequential(conv_layers())
    with pytest.raises(ValueError):
        compiled(model, "hebb")
    with pytest.raises(ValueError):
        compiled(model, "node_perturbation", loss=lambda y, y_pred: ops.mean(y_pred))
    compiled(model, "node_perturbation").train_on_batch(*data(model, rng, 4))
