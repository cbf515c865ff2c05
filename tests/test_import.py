"""Importing the package imports the chosen backend and no other, and nothing beyond Keras."""

import os
import subprocess
import sys

import keras
import pytest

CHECK = """
import sys
class Installed:  # what the finders find, but for the packages that shall be missing
    finders = sys.meta_path
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {others!r}:
            return None
        specs = (finder.find_spec(name, path, target) for finder in self.finders)
        return next((spec for spec in specs if spec), None)
sys.meta_path = [Installed()]
import keras
packages = lambda: {{name.split(".")[0] for name in sys.modules}}
before = packages()
import keras_decorr
assert packages() - before == {{"keras_decorr"}}, packages() - before
import numpy as np
layer = keras_decorr.layers.DecorDense(3)
layer(np.ones((4, 5), "float32"), training=True)
"""


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_only_the_chosen_backend_is_needed(backend):
    if backend != keras.backend.backend():
        pytest.skip("each backend's run checks its own")
    # TensorFlow itself looks for JAX, and PyTorch is imported by nothing else here.
    others = {"tensorflow", "jax", "torch"} - {backend, "jax" if backend == "tensorflow" else ""}
    done = subprocess.run(
        [sys.executable, "-c", CHECK.format(others=others)],
        capture_output=True, text=True, check=False, env={**os.environ, "KERAS_BACKEND": backend},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
