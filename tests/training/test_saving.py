"""Saving as `.keras` and going on in a fresh process."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_decorr
from keras_decorr.decorrelators import NormPreserving
from keras_decorr.layers import DecorConv2D, DecorDense

GO_ON = """
import sys, numpy as np, keras, keras_decorr
folder, cls = sys.argv[1:]
model = keras.saving.load_model(folder + "/model.keras")
assert isinstance(model, getattr(keras_decorr, cls)), type(model)
data = np.load(folder + "/data.npz")
predicted = model.predict(data["x"], verbose=0)
model.fit(data["x"], data["y"], batch_size=16, epochs=2, verbose=0, shuffle=False)
np.savez(folder + "/out.npz", predicted=predicted, after=model.predict(data["x"], verbose=0))
"""


def build(cls, structure):
    rate = keras.optimizers.schedules.ExponentialDecay(1e-2, 5, 0.9)
    first = NormPreserving(rate, structure=structure, groups=3)
    second = NormPreserving(1e-2, structure=structure, groups=4)
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


@pytest.mark.parametrize(
    ("cls", "structure"),
    [("Model", "full"), ("Sequential", "monarch"), ("Model", "block_diagonal")],
)
def test_a_fresh_process_predicts_the_same_and_trains_on_the_same_path(
    cls, structure, tmp_path, rng
):
    x = rng.normal(size=(40, 6, 6, 2)).astype("float32")
    y = rng.integers(0, 3, 40).astype("int32")
    np.savez(tmp_path / "data.npz", x=x, y=y)
    model = build(cls, structure)
    model.compile(keras.optimizers.Adam(1e-2), "sparse_categorical_crossentropy")
    model.fit(x, y, batch_size=16, epochs=2, verbose=0, shuffle=False)
    model.save(tmp_path / "model.keras")
    predicted = model.predict(x, verbose=0)
    model.fit(x, y, batch_size=16, epochs=2, verbose=0, shuffle=False)
    after = model.predict(x, verbose=0)
    subprocess.run(
        [sys.executable, "-c", GO_ON, str(tmp_path), cls],
        check=True,
        env={**os.environ, "KERAS_BACKEND": keras.backend.backend()},
    )
    out = np.load(tmp_path / "out.npz")
    np.testing.assert_allclose(out["predicted"], predicted, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(out["after"], after, rtol=1e-4, atol=1e-5)
    assert np.abs(after - predicted).max() > 1e-3
