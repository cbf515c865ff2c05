"""The classification of images."""

import dataclasses

import numpy as np
import pytest

from keras_decorr import datasets, models
from keras_decorr.cli.compare.config import Config
from keras_decorr.cli.tasks import IMAGES
from keras_decorr.cli.tune.config import TuningConfig


def test_its_batches_nets_and_metrics():
    config = Config(batch_size=100)
    data = IMAGES.load(config)
    assert len(list(IMAGES.train(data, config, 0))) == IMAGES.batches(data, 100) == 15
    assert sum(len(x) for x, _ in IMAGES.held_out(data)) == len(data.x_test)
    net = models.dense_net(**IMAGES.net_arguments(data), decorrelator=None, hidden=(4,))
    assert net.layers[-1].activation.__name__ == "linear"
    assert IMAGES.metrics(data) == ["accuracy"]
    assert len(IMAGES.metrics(dataclasses.replace(data, classes=11))) == 2


@pytest.fixture
def images():
    x = np.arange(40, dtype="uint8").reshape(40, 1, 1, 1)
    return datasets.Images("digits", x, np.arange(40), x[:5] + 100, np.arange(5), 10, False)


def pixels(array):
    return set(np.asarray(array).reshape(-1).tolist())


def test_a_part_of_the_training_images_is_for_validation(images):
    found = IMAGES.split(images, TuningConfig(validation=0.25, batch_size=8))
    trained, validated = pixels(found.x_train), pixels(found.x_test)
    assert (len(trained), len(validated)) == (30, 10)
    assert trained | validated == set(range(40))  # and no test image
    assert found.x_train.reshape(-1).tolist() == found.y_train.tolist()
    again = IMAGES.split(images, TuningConfig(validation=0.25, batch_size=8))
    assert pixels(again.x_test) == validated
    other = IMAGES.split(images, TuningConfig(validation=0.25, batch_size=8, seed=1))
    assert pixels(other.x_test) != validated


@pytest.mark.parametrize(
    "options", [{"batch_size": 64}, {"validation": 0.001}, {"train_size": 8, "batch_size": 8}]
)
def test_too_few_images_are_refused(images, options):
    config = TuningConfig(**{"batch_size": 8, **options})
    with pytest.raises(ValueError, match="must leave a batch of training images"):
        IMAGES.split(images, config)
