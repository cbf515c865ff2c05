"""A comparison that takes seconds."""

import dataclasses
import functools

import pytest

from keras_decorr import datasets
from keras_decorr.experiments.nets import NETS


@pytest.fixture
def small(monkeypatch):
    """Nets of a few units on a part of the digits."""
    digits = datasets.load("digits")
    part = datasets.Images(
        "digits", digits.x_train[:200], digits.y_train[:200], digits.x_test[:100],
        digits.y_test[:100], 10, False,
    )  # fmt: skip
    monkeypatch.setattr(datasets, "load", lambda name, data_dir=None: part)
    dense = NETS["dense"]
    build = functools.partial(dense.build, hidden=(16, 16))
    monkeypatch.setitem(NETS, "dense", dataclasses.replace(dense, build=build))
    return part
