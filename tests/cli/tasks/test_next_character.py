"""The prediction of the next character."""

import numpy as np
import pytest

from keras_decorr import models
from keras_decorr.cli.compare.config import Config
from keras_decorr.cli.tasks import TEXTS


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
