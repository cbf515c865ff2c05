"""The recurrent layer of version 0.1.0: it makes one that decorrelates."""

import keras
import numpy as np
import pytest

from keras_decorr.layers import DecorGRU, DecorLSTM, DecorRNN, DecorSimpleRNN
from tests.helpers import perturb, undamped
from tests.layers.twins import numpy


@pytest.mark.parametrize(
    ("cls", "expected"),
    [
        (keras.layers.LSTM, DecorLSTM),
        (keras.layers.GRU, DecorGRU),
        (keras.layers.SimpleRNN, DecorSimpleRNN),
    ],
)
def test_a_layer_of_keras_is_made_a_decorrelating_one(cls, expected):
    layer = DecorRNN(cls(5, return_sequences=True), undamped(1e-2), name="mine")
    assert isinstance(layer, DecorRNN) and isinstance(layer, expected)
    assert (layer.name, layer.units, layer.return_sequences) == ("mine", 5, True)
    assert layer.decorrelator.learning_rate == 1e-2


def test_it_is_saved_and_loaded_and_becomes_keras_own(rng, tmp_path):
    x = rng.normal(size=(6, 4, 3)).astype("float32")
    model = keras.Sequential([keras.Input((4, 3)), DecorRNN(keras.layers.GRU(2), undamped(1e-2))])
    model(x, training=True)
    assert int(model.layers[0].decorrelation.steps) == 1
    perturb(model.layers[0].decorrelation, rng)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert type(again.layers[0]) is type(model.layers[0])
    np.testing.assert_array_equal(numpy(again(x)), numpy(model(x)))
    again.layers[0].merge()
    again.layers[0].detach()
    assert type(again.layers[0]) is keras.layers.GRU
    np.testing.assert_allclose(numpy(again(x)), numpy(model(x)), rtol=1e-4, atol=1e-5)


def test_a_recurrent_layer_must_be_one_that_can_be_folded():
    with pytest.raises(ValueError, match=r"`layer` of DecorRNN.*Received: <Bidirectional"):
        DecorRNN(keras.layers.Bidirectional(keras.layers.LSTM(3)))
