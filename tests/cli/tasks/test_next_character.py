"""The prediction of the next character."""

import numpy as np
import pytest

from keras_decorr import models
from keras_decorr.cli.compare.config import Config
from keras_decorr.cli.tasks import TEXTS
from keras_decorr.cli.tune.config import TuningConfig
from keras_decorr.datasets import Text


def test_its_batches_and_nets():
    config = Config(net="gpt", dataset="python_source", context=32, batch_size=7)
    data = TEXTS.load(config).first(2000, 200)
    assert data.context == 32
    batches = list(TEXTS.train(data, config, 0))
    assert len(batches) == TEXTS.batches(data, 7) == 9  # of 61 windows
    ((x, _),) = TEXTS.held_out(data)
    np.testing.assert_array_equal(x.numpy().ravel(), data.validation_tokens[:192])
    net = models.gpt(**TEXTS.net_arguments(data), decorrelator=None, width=8, depth=1)
    assert net.output_shape == (None, 32, data.classes)
    assert TEXTS.load(Config(net="gpt", dataset="python_source")).context == 128


def test_the_perplexity_follows_from_the_loss():
    assert TEXTS.figures({"loss": np.log(8)}) == {"loss": np.log(8), "perplexity": pytest.approx(8)}
    assert np.isfinite(TEXTS.figures({"loss": 1e4})["perplexity"])
    assert TEXTS.shown(np.log(8)) == "2.0794 (8.00)"


OPTIONS = {"net": "gpt", "dataset": "python_source", "batch_size": 3}


def test_the_end_of_the_text_for_training_is_for_validation():
    numbers = np.arange(100, dtype="int32")
    text = Text("numbers", numbers, numbers + 100, numbers + 200, "ab", context=10)
    found = TEXTS.split(text, TuningConfig(**OPTIONS, validation=0.25))
    np.testing.assert_array_equal(found.train_tokens, np.arange(75))
    np.testing.assert_array_equal(found.validation_tokens, np.arange(75, 100))
    found = TEXTS.split(text, TuningConfig(**OPTIONS, validation=0.25, train_size=60))
    np.testing.assert_array_equal(found.train_tokens, np.arange(45))
    for options in ({"validation": 0.1}, {"train_size": 50, "validation": 0.3}):
        with pytest.raises(ValueError, match="must leave a batch of training texts"):
            TEXTS.split(text, TuningConfig(**OPTIONS, **options))
