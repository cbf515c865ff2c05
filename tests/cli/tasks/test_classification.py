"""The classification of images."""

import dataclasses

from keras_decorr import models
from keras_decorr.cli.compare.config import Config
from keras_decorr.cli.tasks import IMAGES


def test_its_batches_nets_and_metrics():
    config = Config(batch_size=100)
    data = IMAGES.load(config)
    assert len(list(IMAGES.train(data, config, 0))) == IMAGES.batches(data, 100) == 15
    assert sum(len(x) for x, _ in IMAGES.held_out(data)) == len(data.x_test)
    net = models.dense_net(**IMAGES.net_arguments(data), decorrelator=None, hidden=(4,))
    assert net.layers[-1].activation.__name__ == "linear"
    assert IMAGES.metrics(data) == ["accuracy"]
    assert len(IMAGES.metrics(dataclasses.replace(data, classes=11))) == 2
