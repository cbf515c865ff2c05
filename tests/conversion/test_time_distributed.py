"""A decorrelating layer at every step of a sequence."""

import keras
import numpy as np
from keras import layers, ops

from keras_decorr import conversion, fold
from tests.conversion.nets import assert_same, decorrelate, disturb


def test_a_time_distributed_layer_learns_from_all_steps(rng):
    model = keras.Sequential([keras.Input((7, 6)), layers.TimeDistributed(layers.Dense(3))])
    new = decorrelate(model)
    assert type(new.layers[0]) is conversion.DecorTimeDistributed
    x = rng.normal(size=(20, 7, 6)).astype("float32") + 1
    new(x, training=True)
    mean = ops.convert_to_numpy(new.layers[0].layer.decorrelation.moving_mean)
    np.testing.assert_allclose(mean, x.reshape(-1, 6).mean(0), atol=1e-5)
    again = conversion.DecorTimeDistributed.from_config(new.layers[0].get_config())
    assert again.compute_output_shape((None, 7, 6)) == (None, 7, 3)


def test_a_time_distributed_layer_is_loaded(rng, tmp_path):
    model = keras.Sequential([keras.Input((7, 6)), layers.TimeDistributed(layers.Dense(3))])
    model.compile("sgd", "mse")
    new = decorrelate(model)
    disturb(new, rng)
    new.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    x = rng.normal(size=(4, 7, 6)).astype("float32")
    assert_same(again, new, x)
    assert_same(fold(again), new, x, 1e-4)
    again.fit(x, np.ones((4, 7, 3)), verbose=0)
    assert int(again.decorrelation_layers[0].steps) == 1
    assert keras.models.model_from_json(new.to_json()).count_params() == new.count_params()
