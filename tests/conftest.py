"""What the tests share. They run on the backend that KERAS_BACKEND names."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest


@pytest.fixture(autouse=True)
def seeded():
    """The same weights and batches in every run."""
    keras.utils.set_random_seed(0)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def backend():
    return keras.backend.backend()


@pytest.fixture
def tensorflow_only(backend):
    if backend != "tensorflow":
        pytest.skip("for TensorFlow alone")
