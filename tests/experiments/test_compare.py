"""The comparison: its folder, its figures, its resumption, its refusals."""

import csv
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_decorr import datasets
from keras_decorr.experiments import run as runs
from keras_decorr.experiments.compare import compare
from keras_decorr.experiments.config import Config
from keras_decorr.experiments.report import summarise


@pytest.fixture
def small(monkeypatch):
    """Nets of a few units on a part of the digits."""
    digits = datasets.load("digits")
    part = datasets.Images(
        "digits", digits.x_train[:200], digits.y_train[:200], digits.x_test[:100],
        digits.y_test[:100], 10, False,
    )  # fmt: skip
    monkeypatch.setattr(datasets, "load", lambda name, data_dir=None: part)
    dense_net = runs.models.dense_net
    monkeypatch.setattr(
        runs.models,
        "dense_net",
        lambda *a, **k: dense_net(*a, **{"hidden": (16, 16), **k}),
    )
    return part


def rows(folder):
    with open(folder / "epochs.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_the_folder_holds_all_that_is_needed_to_repeat_it(small, tmp_path):
    config = Config(
        epochs=2, seeds=2, structure=("full", "monarch"), batch_normalization=True,
        learning_rate=(1e-3, 1e-2), tuning_epochs=1,
    )  # fmt: skip
    summary, _results, rates = compare(config, tmp_path)
    assert list(summary) == ["plain", "batch_normalization", "full", "monarch"]
    assert set(rates) == set(summary)
    saved = json.loads((tmp_path / "config.json").read_text())
    assert saved["config"]["seeds"] == 2
    assert saved["backend"] == keras.backend.backend()
    assert saved["versions"]["keras"] == keras.__version__
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "summary.json").read_text())["learning_rates"] == rates
    for variant in summary:
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


def test_a_killed_run_goes_on_as_if_nothing_had_happened(small, tmp_path):
    config = Config(epochs=3)
    run = runs.Run("monarch", 1e-3, 0, 3)

    class Kill(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runs.train(config, run, small, tmp_path / "killed", [Kill()])
    assert len(rows(tmp_path / "killed" / "runs" / run.name)) == 2
    resumed = runs.train(config, run, small, tmp_path / "killed")
    whole = runs.train(config, run, small, tmp_path / "whole")
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


def test_the_summary_counts_epochs_and_seconds():
    def seed(accuracies, seconds):
        return [
            {"epoch": i, "test_accuracy": a, "seconds": seconds + 10 * (i == 0)}
            for i, a in enumerate(accuracies)
        ]

    summary = summarise({
        "plain": {0: seed([0.1, 0.2, 0.4, 0.3], 2.0), 1: seed([0.1, 0.2, 0.3, 0.5], 2.0)},
        "fast": {0: seed([0.3, 0.4, 0.5, 0.6], 3.0), 1: seed([0.1, 0.5, 0.5, 0.7], 3.0)},
        "slow": {0: seed([0.3, 0.3, 0.3, 0.3], 3.0), 1: seed([0.1, 0.5, 0.5, 0.7], 3.0)},
    })  # fmt: skip
    assert summary["plain"]["epochs_to_plain"] == pytest.approx((3.5, np.sqrt(0.5)))
    assert summary["fast"]["epochs_to_plain"] == (2.0, 0.0)
    assert summary["fast"]["seconds_to_plain"] == (6.0, 0.0)
    assert summary["fast"]["best_accuracy"][0] == pytest.approx(0.65)
    assert summary["slow"]["epochs_to_plain"] is None
    assert summary["slow"]["seeds_that_reached_plain"] == 1


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"dataset": "imagenet"}, "--dataset"),
        ({"net": "transformer"}, "--net"),
        ({"structure": ("banded",)}, "--structure"),
        ({"decorrelator": "pca"}, "--decorrelator"),
        ({"epochs": 0}, "--epochs"),
        ({"seeds": 0}, "--seeds"),
        ({"batch_size": 0}, "--batch-size"),
        ({"learning_rate": (0.0,)}, "--learning-rate"),
        ({"learning_rate": (float("nan"),)}, "--learning-rate"),
        ({"decorrelation_rate": -1.0}, "--decorrelation-rate"),
    ],
)
def test_bad_options_are_named_before_any_work(arguments, named):
    with pytest.raises(ValueError, match=f"{named}.*Received: "):
        Config(**arguments)


def command(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "keras_decorr.experiments.cli", "compare", *arguments],
        capture_output=True, text=True, check=False,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "COLUMNS": "200", **environment},
    )  # fmt: skip


def test_the_command_trains_shows_and_writes(tmp_path):
    done = command("--epochs", "1", "--out", str(tmp_path / "out"), "--backend", "jax")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "test accuracy" in done.stdout
    assert "monarch" in done.stdout
    assert json.loads((tmp_path / "out" / "config.json").read_text())["backend"] == "jax"


def test_the_command_refuses_clearly(tmp_path):
    file = tmp_path / "file"
    file.write_text("in the way")
    done = command("--out", str(file / "out"))
    assert done.returncode == 2
    assert "--out must be a folder that can be written to" in done.stdout
    done = command("--dataset", "cifar10", "--data-dir", str(tmp_path / "none"),
                   "--out", str(tmp_path / "out"))  # fmt: skip
    assert done.returncode == 2
    assert "`data_dir` must be an existing folder" in done.stdout
