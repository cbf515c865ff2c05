"""What an installation with one extra can do: `python tests/smoke.py EXTRA`, outside of a clone.

Run by `make dist` in a virtual environment that holds the wheel with that extra and nothing else.
"""

import importlib.metadata
import importlib.resources
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np

import keras_decorr


def backend():
    """Convert, train, save, load and fold."""
    plain = keras.Sequential([keras.Input((6,)), keras.layers.Dense(4), keras.layers.Dense(1)])
    model = keras_decorr.decorrelate(plain)
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(64, 6)).astype("float32")
    model.fit(x, x[:, :1], epochs=2, verbose=0)
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/model.keras"
        model.save(path)
        again = keras.saving.load_model(path)
    for other in (again, keras_decorr.fold(model)):
        np.testing.assert_allclose(
            other.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-3, atol=1e-5
        )


def data():
    assert keras_decorr.datasets.load("digits").input_shape == (8, 8, 1)


def plots():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "curves.png"
        keras_decorr.plots.learning_curves({"plain": (1.0, [[0.3, 0.4]])}, path)
        assert path.stat().st_size > 1000


def tuner():
    assert keras_decorr.tuning.DecorHyperModel


def files():
    """The wheel has the marker of types, the grids, and the version of the package."""
    package = importlib.resources.files("keras_decorr")
    assert (package / "py.typed").is_file()
    assert any(path.name == "paper.toml" for path in (package / "cli/reproduce/grids").iterdir())
    assert importlib.metadata.version("keras-decorr") == keras_decorr.__version__


if __name__ == "__main__":
    files()
    backend()
    more = {"data": data, "plots": plots, "tuner": tuner}
    more.get(sys.argv[1], lambda: None)()
    print(f"{sys.argv[1]}: as it should be, on {keras.backend.backend()}")
