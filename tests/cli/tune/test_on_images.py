"""Images for training and for validation; test_command.py searches with them."""

import numpy as np
import pytest

pytest.importorskip("keras_tuner")
import keras_tuner

from keras_decorr import datasets
from keras_decorr.cli.tune.config import TuningConfig
from keras_decorr.cli.tune.on_images import Clock, ImagesHyperModel, held_out
from keras_decorr.decorrelators.structures import Monarch


@pytest.fixture
def images():
    x = np.arange(40, dtype="uint8").reshape(40, 1, 1, 1)
    return datasets.Images("digits", x, np.arange(40), x[:5] + 100, np.arange(5), 10, False)


def pixels(array):
    return set(np.asarray(array).reshape(-1).tolist())


def test_a_part_of_the_training_images_is_for_validation(images):
    found = held_out(images, TuningConfig(validation=0.25, batch_size=8))
    trained, validated = pixels(found.x_train), pixels(found.x_test)
    assert (len(trained), len(validated)) == (30, 10)
    assert trained | validated == set(range(40))  # and no test image
    assert found.x_train.reshape(-1).tolist() == found.y_train.tolist()
    again = held_out(images, TuningConfig(validation=0.25, batch_size=8))
    assert pixels(again.x_test) == validated
    other = held_out(images, TuningConfig(validation=0.25, batch_size=8, seed=1))
    assert pixels(other.x_test) != validated


@pytest.mark.parametrize(
    "options", [{"batch_size": 64}, {"validation": 0.001}, {"train_size": 8, "batch_size": 8}]
)
def test_too_few_images_are_refused(images, options):
    config = TuningConfig(**{"batch_size": 8, **options})
    with pytest.raises(ValueError, match="must leave a batch of training images"):
        held_out(images, config)


def test_the_clock_counts_epochs_from_one():
    clock, logs = Clock(), {"loss": 1.0}
    clock.on_train_begin()
    clock.on_epoch_end(2, logs)
    assert logs["epoch"] == 3 and logs["seconds"] >= 0


def test_the_structure_of_a_trial_has_the_options_of_the_command(images):
    config = TuningConfig(structure=("full", "monarch"), groups=4, batch_size=8)
    hp = keras_tuner.HyperParameters()
    hyper_model = ImagesHyperModel(config, held_out(images, config))
    hyper_model.settings(hp)
    hp.values |= {"decorrelation_rate": "0.002", "structure": "monarch"}
    model = hyper_model.build(hp)
    found = {
        layer.decorrelator.structure for layer in model.layers if hasattr(layer, "decorrelator")
    }
    assert found == {Monarch(groups=4)}
