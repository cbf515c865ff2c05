"""The recurrent layer of version 0.1.0: it holds one that decorrelates."""

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
    layer = DecorRNN(cls(5, return_sequences=True), undamped(1e-2))
    assert type(layer.layer) is expected
    assert (layer.layer.units, layer.layer.return_sequences) == (5, True)
    assert layer.layer.decorrelator.learning_rate == 1e-2
    assert layer.decorrelation is layer.layer.decorrelation


def test_it_computes_what_the_layer_inside_computes_and_trains_it(rng):
    x = rng.normal(size=(6, 4, 3)).astype("float32")
    mask = keras.ops.convert_to_tensor(rng.random((6, 4)) < 0.6)
    layer = DecorRNN(keras.layers.LSTM(2), undamped(1e-2))
    layer(x, training=True, mask=mask)
    assert int(layer.decorrelation.steps) == 1
    perturb(layer.decorrelation, rng)
    state = [rng.normal(size=(6, 2)).astype("float32") for _ in range(2)]
    np.testing.assert_array_equal(
        numpy(layer(x, initial_state=state, mask=mask)),
        numpy(layer.layer(x, initial_state=state, mask=mask)),
    )
    assert layer.compute_output_shape(x.shape) == (6, 2)


def test_it_is_saved_and_loaded(rng, tmp_path):
    x = rng.normal(size=(6, 4, 3)).astype("float32")
    model = keras.Sequential([keras.Input((4, 3)), DecorRNN(keras.layers.GRU(2), undamped(1e-2))])
    perturb(model.layers[0].decorrelation, rng)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert type(again.layers[0].layer) is DecorGRU
    np.testing.assert_array_equal(numpy(again(x)), numpy(model(x)))


def test_a_recurrent_layer_must_be_one_that_can_be_folded():
    with pytest.raises(ValueError, match=r"`layer` of DecorRNN.*Received: <Bidirectional"):
        DecorRNN(keras.layers.Bidirectional(keras.layers.LSTM(3)))
