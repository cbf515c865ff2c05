"""The comparison: its folder, and its resumption."""

import csv
import dataclasses
import functools
import json

import keras
import numpy as np
import pytest

from keras_decorr import datasets
from keras_decorr.cli.compare import run as runs
from keras_decorr.cli.compare.comparison import _tuned, compare
from keras_decorr.cli.compare.config import Config, Net
from keras_decorr.cli.nets import NETS
from keras_decorr.cli.optimizers import make_optimizer


def rows(folder):
    with open(folder / "epochs.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_the_folder_holds_all_that_is_needed_to_repeat_it(small, tmp_path):
    config = Config(
        epochs=2, seeds=2, structure=("full", "monarch"), batch_normalization=True,
        learning_rate=(1e-3, 1e-2), tuning_epochs=1,
    )  # fmt: skip
    summary, _results, rates = compare(config, tmp_path)
    names = ["plain", "batch_normalization", "full", "monarch"]
    assert list(summary) == [Net("backprop", name) for name in names]
    assert set(rates) == set(summary)
    saved = json.loads((tmp_path / "config.json").read_text())
    assert saved["config"]["seeds"] == 2
    assert saved["backend"] == keras.backend.backend()
    assert saved["versions"]["keras"] == keras.__version__
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    rates = {net.name: chosen.learning for net, chosen in rates.items()}
    assert json.loads((tmp_path / "summary.json").read_text())["learning_rates"] == rates
    for variant in names:
        tried = list((tmp_path / "runs").glob(f"{variant}-lr*-seed0"))
        assert len(tried) == 2
        table = rows(tmp_path / "runs" / f"{variant}-lr{rates[variant]:g}-seed1")
        assert [row["epoch"] for row in table] == ["1", "2"]
        assert ("decorrelation_loss" in table[0]) == (variant in ("full", "monarch"))
    best = max(
        rates["plain"] and float(rows(path)[0]["test_accuracy"])
        for path in (tmp_path / "runs").glob("plain-lr*-seed0")
    )
    chosen = rows(tmp_path / "runs" / f"plain-lr{rates['plain']:g}-seed0")
    assert float(chosen[0]["test_accuracy"]) == best
    assert not list(tmp_path.glob("runs/*/*.h5"))
    kept = sorted(path.parent.name for path in tmp_path.glob("runs/*/model.keras"))
    assert kept == sorted(f"{variant}-lr{rates[variant]:g}-seed0" for variant in names)


def test_decorrelators_side_by_side(small_compiled, tmp_path):
    config = Config(epochs=1, decorrelator=("norm_preserving", "recurrent"))
    summary, _results, _rates = compare(config, tmp_path)
    assert [net.variant for net in summary] == ["plain", "norm_preserving", "recurrent"]
    linear, recurrent = (rows(path)[0] for path in (
        tmp_path / "runs" / f"{name}-lr0.0003-seed0" for name in ("norm_preserving", "recurrent")
    ))  # fmt: skip
    # The same rule to first order: close, and yet not the same.
    assert "unsettled_updates" in recurrent
    assert "unsettled_updates" not in linear
    a, b = (float(row["decorrelation_loss"]) for row in (linear, recurrent))
    assert a != b
    assert a == pytest.approx(b, rel=0.2)


class LearningRates(keras.callbacks.Callback):
    """Collects the learning rate of every step."""

    def on_train_begin(self, logs=None):
        self.found = [] if not hasattr(self, "found") else self.found

    def on_train_batch_begin(self, batch, logs=None):
        self.found.append(float(self.model.optimizer.learning_rate))


@pytest.mark.parametrize(("optimizer", "schedule"), [("adam", "constant"), ("muon", "cosine")])
def test_a_killed_run_goes_on_as_if_nothing_had_happened(small, tmp_path, optimizer, schedule):
    config = Config(epochs=3, optimizer=optimizer, schedule=schedule)
    run = runs.Run("auto", 1e-3, 0, 3)

    class Kill(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runs.train(config, run, small, tmp_path / "killed", [Kill()])
    before = rows(tmp_path / "killed" / "runs" / run.name)
    assert len(before) == 2
    resumed = runs.train(config, run, small, tmp_path / "killed")
    # Their seconds, too: these epochs were not trained again.
    assert rows(tmp_path / "killed" / "runs" / run.name)[:2] == before
    rates = LearningRates()
    whole = runs.train(config, run, small, tmp_path / "whole", [rates])
    # A schedule spans all epochs; 100 images are two batches of 64.
    expected = make_optimizer(optimizer, 1e-3, schedule, steps=6)
    for rate in rates.found:
        assert rate == pytest.approx(float(expected.learning_rate))
        expected.iterations.assign_add(1)
    for a, b in zip(resumed, whole, strict=True):
        for name in ("loss", "test_loss", "decorrelation_loss"):
            assert a[name] == pytest.approx(b[name], rel=1e-4)


def test_a_finished_comparison_is_not_trained_again(small, tmp_path, monkeypatch):
    config = Config(epochs=1)
    first = compare(config, tmp_path)[0]
    monkeypatch.setattr(runs, "build", None)
    assert compare(config, tmp_path)[0] == first


def test_another_configuration_in_the_same_folder_is_refused(small, tmp_path):
    compare(Config(epochs=1), tmp_path)
    with pytest.raises(ValueError, match=r"another \['epochs'\].*--out"):
        compare(Config(epochs=2), tmp_path)


def test_the_five_best_count_where_there_are_more_than_ten_classes(small, tmp_path):
    images = dataclasses.replace(small, y_train=small.y_train + 2, classes=12)
    run = runs.Run("plain", 1e-3, 0, 1)
    (row,) = runs.train(Config(), run, images, tmp_path)
    assert row["test_top_5_accuracy"] >= row["test_accuracy"]
    (saved,) = rows(tmp_path / "runs" / run.name)
    assert float(saved["top_5_accuracy"]) == row["top_5_accuracy"]


@pytest.mark.parametrize(
    ("options", "score", "best"),
    [
        ({}, "test_accuracy", 1e-2),
        ({"net": "gpt", "dataset": "python_source"}, "validation_loss", 1e-3),
    ],
)
def test_the_rate_with_the_best_score_is_chosen(options, score, best):
    config = Config(learning_rate=(1e-3, 1e-2, 1e-1), **options)
    scores = {1e-3: 0.2, 1e-2: 0.3, 1e-1: float("nan")}

    def trained(net, rates, seed, epochs):
        assert (seed, epochs) == (0, config.tuning_epochs)
        return [{score: 0.25}, {score: scores[rates.learning]}]

    assert _tuned(config, Net("backprop", "plain"), trained).learning == best

    def diverged(net, rates, seed, epochs):
        return [{score: float("nan")}]

    assert _tuned(config, Net("backprop", "plain"), diverged).learning == 1e-3


def test_a_language_model_is_compared_by_its_loss_on_the_validation_part(
    tmp_path, monkeypatch, eager_runs
):
    text = datasets.load("python_source").first(3000, 600)
    monkeypatch.setattr(datasets, "load", lambda name, data_dir=None: text)
    gpt = functools.partial(NETS["gpt"].build, depth=1)
    monkeypatch.setitem(NETS, "gpt", dataclasses.replace(NETS["gpt"], build=gpt))
    config = Config(
        net="gpt", dataset="python_source", width=16, context=32, batch_size=31, epochs=2,
        optimizer="adamw", schedule="cosine",
    )  # fmt: skip
    summary, results, _rates = compare(config, tmp_path)
    assert [net.variant for net in summary] == ["plain", "auto"]
    for net, figures in summary.items():
        _first, last = results[net][0]
        assert figures["best_loss"][0] == last["validation_loss"]
        assert last["validation_perplexity"] == pytest.approx(np.exp(last["validation_loss"]))
        assert last["perplexity"] == pytest.approx(np.exp(last["loss"]))
        path = tmp_path / "runs" / f"{net.name}-lr0.001-seed0"
        assert set(rows(path)[0]) >= {"loss", "perplexity", "validation_loss"}
        model = keras.saving.load_model(path / "model.keras", compile=False)
        assert model.output_shape == (None, 32, text.classes)
        model.compile(loss=config.task.loss(), run_eagerly=True)
        loss = model.evaluate(text.validation(8, context=32), verbose=0)
        assert loss == pytest.approx(last["validation_loss"], rel=1e-4)
    saved = json.loads((tmp_path / "config.json").read_text())["config"]
    assert (saved["optimizer"], saved["schedule"]) == ("adamw", "cosine")
