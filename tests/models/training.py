"""What the tests of the larger nets share."""

import keras
import numpy as np


def trained_two_steps(model, rng):
    """Train a model of three classes on two batches of 8 x 8 images in colour, and give the images."""
    # For two steps a compilation of so many layers does not pay, but on JAX.
    eagerly = keras.backend.backend() != "jax"
    model.compile("adam", "sparse_categorical_crossentropy", run_eagerly=eagerly)
    x, y = rng.normal(size=(12, 8, 8, 3)).astype("float32"), np.arange(12) % 3
    logs = model.fit(x, y, batch_size=6, verbose=0).history
    assert np.isfinite(logs["loss"][0])
    return x
