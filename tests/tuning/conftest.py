"""Data for a search, and trials without training."""

import keras_tuner
import pytest

from keras_decorr.tuning import DecorHyperModel
from tests.tuning.searches import rate_of


@pytest.fixture
def data(rng):
    x = rng.normal(size=(32, 6)).astype("float32")
    return x, (x[:, 0] > 0).astype("int32")


@pytest.fixture
def quick(monkeypatch):
    """A function that lets trials end as they do, without their training."""

    def fit(self, hp, model, *args, **kwargs):
        if rate_of(model) > 1:
            raise keras_tuner.errors.FailedTrialError("The trial diverges")
        return {"val_accuracy": 0.5}

    return lambda: monkeypatch.setattr(DecorHyperModel, "fit", fit)
