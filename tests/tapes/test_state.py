"""What a tape keeps for a model."""

import keras
import numpy as np
import pytest

from keras_decorr.tapes import FeedbackAlignmentTape, NodePerturbationTape
from tests.tapes.nets import data, network, taped

pytestmark = pytest.mark.usefixtures("tensorflow_only")


def test_the_state_is_made_once_and_saved(rng, tmp_path):
    import tensorflow as tf

    x, y = data(rng)
    model = network("dense", rng, decorrelated=False, cls=keras.Sequential)
    weights = len(model.weights)
    _, tape = taped(FeedbackAlignmentTape, model, x, y, graph=True)
    assert FeedbackAlignmentTape(model).state is tape.state
    assert len(model.weights) == weights
    assert all(layer is not tape.state for layer in model._flatten_layers())
    noise = NodePerturbationTape(model).state
    noise.next_seed()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    again = FeedbackAlignmentTape(loaded).state
    assert not np.array_equal(again.variables[0], tape.state.variables[0])
    later = NodePerturbationTape(loaded).state
    loaded.load_weights(tmp_path / "model.keras")
    for a, b in zip(again.variables, tape.state.variables, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(later.variables[0], noise.variables[0])
    assert tf.executing_eagerly()
