"""The models of a search; test_command.py trains them."""

import pytest

pytest.importorskip("keras_tuner")
import keras_tuner

from keras_decorr.cli.tasks import IMAGES, TEXTS
from keras_decorr.cli.tune.config import TuningConfig
from keras_decorr.cli.tune.net_hyper_model import Clock, NetHyperModel
from keras_decorr.decorrelators.structures import Monarch


def test_the_clock_counts_epochs_from_one():
    clock, logs = Clock(), {"loss": 1.0}
    clock.on_train_begin()
    clock.on_epoch_end(2, logs)
    assert logs["epoch"] == 3 and logs["seconds"] >= 0


def test_the_structure_of_a_trial_has_the_options_of_the_command():
    config = TuningConfig(structure=("full", "monarch"), groups=4, batch_size=8)
    hp = keras_tuner.HyperParameters()
    hyper_model = NetHyperModel(config, IMAGES.load(config))
    hyper_model.settings(hp)
    hp.values |= {"decorrelation_rate": "0.002", "structure": "monarch"}
    model = hyper_model.build(hp)
    found = {
        layer.decorrelator.structure for layer in model.layers if hasattr(layer, "decorrelator")
    }
    assert found == {Monarch(groups=4)}


def test_a_language_model_with_a_schedule_is_scored_by_its_loss():
    options = {"net": "gpt", "dataset": "python_source", "width": 16, "context": 16}
    config = TuningConfig(
        **options, optimizer=("adamw", "muon"), schedule="cosine", train_size=400, epochs=2,
        batch_size=8,
    )  # fmt: skip
    data = TEXTS.split(TEXTS.load(config), config)
    hyper_model = NetHyperModel(config, data)
    hp = keras_tuner.HyperParameters()
    hyper_model.settings(hp)
    hp.values["optimizer"] = "muon"
    model = hyper_model.build(hp)
    model.run_eagerly = True
    assert type(model.optimizer).__name__ == "Muon"
    logs = hyper_model.fit(hp, model, epochs=2, verbose=0).history
    assert set(logs) >= {"loss", "val_loss"} and "val_accuracy" not in logs
    # 21 windows of 360 characters are three batches, in two epochs; the end of the cosine is 0.
    assert int(model.optimizer.iterations) == 6
    assert float(model.optimizer.learning_rate) == pytest.approx(0.0, abs=1e-9)
