"""Saving as `.keras` and going on in a fresh process."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_decorr
from keras_decorr.layers import DecorConv2D, DecorDense
from tests.helpers import EAGERLY, undamped, whole_batches

GO_ON = """
import sys, numpy as np, keras, keras_decorr
folder, *kinds = sys.argv[1:]
data = np.load(folder + "/data.npz")
for kind in kinds:
    model = keras.saving.load_model(f"{folder}/{kind}.keras")
    assert isinstance(model, getattr(keras_decorr, kind.split("-")[0])), type(model)
    predicted = model.predict(data["x"], verbose=0)
    model.fit(data["x"], data["y"], batch_size=16, epochs=1, verbose=0, shuffle=False)
    after = model.predict(data["x"], verbose=0)
    np.savez(f"{folder}/{kind}.npz", predicted=predicted, after=after)
"""
KINDS = ("Model-full", "Sequential-monarch", "Model-block_diagonal")


def build(cls, structure):
    rate = keras.optimizers.schedules.ExponentialDecay(1e-2, 5, 0.9)
    first = undamped(rate, structure=structure, groups=3)
    second = undamped(1e-2, structure=structure, groups=4)
    inputs = keras.Input((6, 6, 2))
    layers = [
        DecorConv2D(4, 3, activation="relu", decorrelator=first),
        keras.layers.Flatten(),
        DecorDense(3, activation="softmax", decorrelator=second),
    ]
    if cls == "Sequential":
        return keras_decorr.Sequential([inputs, *layers])
    outputs = inputs
    for layer in layers:
        outputs = layer(outputs)
    return keras_decorr.Model(inputs, outputs)


def test_a_fresh_process_predicts_the_same_and_trains_on_the_same_path(tmp_path, rng, backend):
    n = whole_batches(40, 32)  # those of predict
    x = rng.normal(size=(n, 6, 6, 2)).astype("float32")
    y = rng.integers(0, 3, n).astype("int32")
    np.savez(tmp_path / "data.npz", x=x, y=y)
    expected = {}
    for kind in KINDS:
        keras.utils.set_random_seed(0)
        model = build(*kind.split("-"))
        way = EAGERLY if expected else {}  # one of them is compiled
        model.compile(keras.optimizers.Adam(1e-2), "sparse_categorical_crossentropy", **way)
        model.fit(x, y, batch_size=16, epochs=1, verbose=0, shuffle=False)
        model.save(tmp_path / f"{kind}.keras")
        predicted = model.predict(x, verbose=0)
        model.fit(x, y, batch_size=16, epochs=1, verbose=0, shuffle=False)
        expected[kind] = predicted, model.predict(x, verbose=0)
    subprocess.run(
        [sys.executable, "-c", GO_ON, str(tmp_path), *KINDS],
        check=True,
        env={**os.environ, "KERAS_BACKEND": backend},
    )
    for kind, (predicted, after) in expected.items():
        out = np.load(tmp_path / f"{kind}.npz")
        np.testing.assert_allclose(out["predicted"], predicted, rtol=1e-5, atol=1e-6, err_msg=kind)
        np.testing.assert_allclose(out["after"], after, rtol=1e-4, atol=1e-5, err_msg=kind)
        assert np.abs(after - predicted).max() > 1e-3


def test_a_model_that_was_not_compiled_is_not_after_loading(tmp_path):
    model = keras_decorr.Sequential([keras.Input((4,)), DecorDense(1)])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert not loaded.compiled
    with pytest.raises(ValueError, match=r"must call `compile\(\)`"):
        loaded.fit(np.ones((4, 4)), np.ones((4, 1)), verbose=0)
