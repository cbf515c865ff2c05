"""Files saved by version 0.1.0 load, hold the same state and predict the same.

They are in `tests/data/saved-0.1.0`; `make.py` beside them made them with that version.
"""

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

import keras_decorr

FOLDER = Path(__file__).parent / "data" / "saved-0.1.0"
MODELS = sorted(path.stem for path in FOLDER.glob("*.keras"))
HALF = {"mixed_bfloat16"}


@keras.saving.register_keras_serializable("saved_0_1_0")
class Block(keras.layers.Layer):
    """As in tests/data/saved-0.1.0/make.py."""

    def __init__(self, width, **kwargs):
        super().__init__(**kwargs)
        self.width = width
        self.first = keras.layers.Dense(width, "leaky_relu")
        self.rest = [keras.layers.Dense(width, "leaky_relu") for _ in range(2)]
        self.by_name = {"last": keras.layers.Dense(width), "again": self.first}

    def build(self, input_shape):
        for layer in (self.first, *self.rest, self.by_name["last"]):
            layer.build((None, self.width))
        self.built = True

    def call(self, inputs):
        x = self.first(self.first(inputs))
        for layer in self.rest:
            x = x + layer(x)
        return self.by_name["last"](x)

    def get_config(self):
        return {**super().get_config(), "width": self.width}


def predicted(model, arrays):
    names = sorted(name for name in arrays.files if name in ("x", "x0", "x1"))
    inputs = [ops.convert_to_tensor(arrays[name]) for name in names]
    return ops.convert_to_numpy(model(inputs[0] if len(inputs) == 1 else inputs, training=False))


def check(model, arrays, tolerance):
    np.testing.assert_allclose(
        predicted(model, arrays), arrays["y"], rtol=tolerance, atol=tolerance
    )
    # In their order: Keras gives layers that a class makes new names.
    layers = keras_decorr.training.decorrelation_layers(model)
    for path, layer in zip(arrays["layers"], layers, strict=True):
        state = {f"matrix_{i}": M for i, M in enumerate(layer.matrices)}
        state |= {
            "rate": layer.rate,
            "steps": layer.steps,
            "skipped_updates": layer.skipped_updates,
        }
        state |= {
            f"memory_{i}_{j}": variable
            for i, stage in enumerate(layer.memory)
            for j, variable in enumerate(stage)
        }
        if layer.decorrelator.center:
            state["moving_mean"] = layer.moving_mean
            assert float(layer.mean_count) > 0.0  # else the next batch would replace the mean
        saved = {name for name in arrays.files if name.startswith(f"{path}/")}
        assert saved == {f"{path}/{name}" for name in state}
        for name, variable in state.items():
            np.testing.assert_array_equal(ops.convert_to_numpy(variable), arrays[f"{path}/{name}"])


def test_there_are_files():
    assert len(MODELS) > 30


@pytest.mark.parametrize("name", MODELS)
def test_a_model_saved_by_0_1_0_predicts_the_same(name, tmp_path):
    if name == "attention" and keras.backend.backend() == "jax":
        pytest.skip("Keras on JAX has no attention whose values and keys differ in size")
    arrays = np.load(FOLDER / f"{name}.npz")
    tolerance = 2e-2 if name in HALF else 1e-5
    model = keras.saving.load_model(FOLDER / f"{name}.keras")
    check(model, arrays, tolerance)
    model.save(tmp_path / "again.keras")
    check(keras.saving.load_model(tmp_path / "again.keras"), arrays, tolerance)


def test_weights_saved_by_0_1_0_load():
    arrays = np.load(FOLDER / "dense.npz")
    model = keras.saving.load_model(FOLDER / "dense.keras")
    for variable in model.weights:
        if "float" in variable.dtype:
            variable.assign(ops.zeros(variable.shape))
    model.load_weights(FOLDER / "dense.weights.h5")
    check(model, arrays, 1e-5)


def test_a_loaded_model_trains_on():
    arrays = np.load(FOLDER / "learning_feedback_alignment.npz")
    model = keras.saving.load_model(FOLDER / "learning_feedback_alignment.keras")
    layer = keras_decorr.training.decorrelation_layers(model)[0]
    steps, mean = int(layer.steps), ops.convert_to_numpy(layer.moving_mean).copy()
    x = arrays["x"]
    outputs = predicted(model, arrays)
    y = np.zeros(len(x), "int32") if model.loss.startswith("sparse") else np.zeros_like(outputs)
    model.train_on_batch(x, y)
    assert int(layer.steps) == steps + 1
    # The mean moves by a share of its distance to the batch's, not all the way.
    batch = x.reshape(len(x), -1)
    if batch.shape[1] == len(mean):
        moved = np.linalg.norm(ops.convert_to_numpy(layer.moving_mean) - mean)
        assert 0.0 < moved < 0.5 * np.linalg.norm(batch.mean(0) - mean)
