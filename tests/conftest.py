"""What the tests share. They run on the backend that KERAS_BACKEND names."""

import dataclasses
import functools
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if hasattr(os, "sched_setaffinity") and "PYTEST_XDIST_WORKER" in os.environ:
    # One core for each process: what is small is slower on threads that wait for each other.
    cores = sorted(os.sched_getaffinity(0))
    worker = int(os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw"))
    os.sched_setaffinity(0, {cores[worker % len(cores)]})

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


@pytest.fixture
def small_compiled(monkeypatch):
    """Nets of a few units on a part of the digits, for a comparison that takes seconds."""
    from keras_decorr import datasets
    from keras_decorr.cli.nets import NETS

    digits = datasets.load("digits")
    part = datasets.Images(
        "digits", digits.x_train[:100], digits.y_train[:100], digits.x_test[:50],
        digits.y_test[:50], 10, False,
    )  # fmt: skip
    monkeypatch.setattr(datasets, "load", lambda name, data_dir=None: part)
    dense = NETS["dense"]
    build = functools.partial(dense.build, hidden=(16,))
    monkeypatch.setitem(NETS, "dense", dataclasses.replace(dense, build=build))
    return part


@pytest.fixture
def eager_runs(monkeypatch):
    """Runs of a comparison that are not compiled."""
    from keras_decorr.cli.compare import run
    from tests.helpers import eagerly

    eagerly(monkeypatch, run)


@pytest.fixture
def small(small_compiled, eager_runs):
    """Small nets on a part of the digits, in runs that are not compiled."""
    return small_compiled
