"""A folded model in a process that does not have keras_decorr."""

import os
import subprocess
import sys

import keras
import numpy as np
from keras import layers

from keras_decorr import fold
from tests.conversion.nets import decorrelate, disturb, outputs, randomize
from tests.helpers import EAGERLY

LOAD = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("keras_decorr", "tests"):
            raise ImportError(f"{name} is not installed here")

sys.meta_path.insert(0, Blocked())
import keras, numpy as np

folder = sys.argv[1]
model = keras.saving.load_model(folder + "/model.keras")
x = np.load(folder + "/x.npy")
np.save(folder + "/y.npy", keras.ops.convert_to_numpy(model(x)))
model.fit(x, np.zeros(model.output_shape[1:])[None].repeat(len(x), 0), verbose=0)
try:
    import keras_decorr
except ImportError:
    print("no keras_decorr")
"""


def test_a_folded_model_loads_and_trains_without_the_package(tmp_path, rng):
    i = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, padding="same", use_bias=False, name="conv")(i)
    x = layers.DepthwiseConv2D(3)(layers.BatchNormalization()(x))
    inner = keras.Sequential([keras.Input((6, 6, 4)), layers.SeparableConv2D(4, 3), layers.ReLU()])
    x = layers.Reshape((16, 4))(inner(x))
    x = layers.MultiHeadAttention(2, 3)(x, x)
    x = layers.TimeDistributed(layers.Dense(5))(x)
    x = layers.GRU(4)(layers.EinsumDense("abc,cd->abd", (None, 4), bias_axes="d")(x))
    model = keras.Model(i, layers.Dense(2)(x))
    model.compile("adam", "mse", **EAGERLY)
    randomize(model, rng)
    decorrelated = decorrelate(model)
    disturb(decorrelated, rng)
    folded = fold(decorrelated)
    data = rng.normal(size=(3, 8, 8, 3)).astype("float32")
    folded.save(tmp_path / "model.keras")
    np.save(tmp_path / "x.npy", data)
    environment = {**os.environ, "PYTHONPATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(tmp_path)],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "no keras_decorr" in done.stdout
    expected = outputs(decorrelated, data)[0]
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), expected, rtol=1e-4, atol=1e-5)
