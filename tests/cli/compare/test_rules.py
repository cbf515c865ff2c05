"""The comparison of learning rules: one folder, one grid of rates, one resumption."""

import csv
import json

import keras
import numpy as np
import pytest

from keras_decorr.cli.compare import run as runs
from keras_decorr.cli.compare.comparison import compare
from keras_decorr.cli.compare.config import Config, Net
from keras_decorr.cli.net_config import DIGITS_RATE
from keras_decorr.rules import RULES
from tests.helpers import few_of

OTHERS = [rule for rule in RULES if rule != "backprop"]


def test_rules_with_and_without_decorrelation_in_one_folder(small, tmp_path):
    config = Config(rule=("backprop", "feedback_alignment"), epochs=1, learning_rate=(1e-3,))
    summary, results, _rates = compare(config, tmp_path)
    names = ["plain", "auto", "feedback_alignment-plain", "feedback_alignment-auto"]
    assert [net.name for net in summary] == names
    folders = {path.name for path in (tmp_path / "runs").iterdir()}
    assert folders == {f"{name}-lr0.001-seed0" for name in names}
    saved = json.loads((tmp_path / "summary.json").read_text())
    assert saved["reference"] == "plain"
    assert list(saved["variants"]) == names
    assert saved["variants"][names[3]]["rule"] == "feedback_alignment"
    assert saved["decorrelation_rates"] == {names[1]: DIGITS_RATE, names[3]: DIGITS_RATE}
    losses = [rows[0][-1]["loss"] for rows in results.values()]
    assert len(set(losses)) == 4
    assert (tmp_path / "curves.png").exists()


@pytest.mark.parametrize("variant", ["plain", "batch_normalization", "auto"])
def test_nets_of_every_rule_start_from_the_same_weights(small, variant):
    weights = []
    for rule in RULES:
        if rule == "node_perturbation" and variant == "batch_normalization":
            continue
        model = runs.build(Config(), runs.Run(variant, 1e-3, 3, 1, rule), small)
        if rule != "backprop":
            assert type(model.learning_rule) is RULES[rule]
        weights.append([keras.ops.convert_to_numpy(v) for v in model.trainable_variables])
    for other in weights[1:]:
        for a, b in zip(weights[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("variant", "rule"),
    few_of(
        [("plain", "node_perturbation"), *(("auto", rule) for rule in OTHERS)],
        lambda variant, rule: rule == "feedback_alignment",
    ),
)
def test_a_killed_run_goes_on_as_if_nothing_had_happened(small, tmp_path, rule, variant):
    config = Config(rule=(rule,), epochs=3)
    run = runs.Run(variant, 1e-3, 0, 3, rule)

    class Kill(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runs.train(config, run, small, tmp_path / "killed", [Kill()])
    table = tmp_path / "killed" / "runs" / run.name / "epochs.csv"
    before = runs.read(table)
    assert len(before) == 2
    resumed = runs.train(config, run, small, tmp_path / "killed")
    assert runs.read(table)[:2] == before  # their seconds, too: these were not trained again
    whole = runs.train(config, run, small, tmp_path / "whole")
    for a, b in zip(resumed, whole, strict=True):
        for name in ("loss", "test_loss", "test_accuracy"):
            assert a[name] == pytest.approx(b[name], rel=1e-4)


def test_a_grid_of_both_rates(small, tmp_path):
    config = Config(
        rule=("feedback_alignment",), epochs=2, tuning_epochs=1,
        learning_rate=(1e-3, 1e-2), decorrelation_rate=(1e-3, DIGITS_RATE),
    )  # fmt: skip
    _summary, _results, rates = compare(config, tmp_path)
    plain, auto = (Net("feedback_alignment", v) for v in ("plain", "auto"))
    folders = {path.name for path in (tmp_path / "runs").iterdir()}
    assert folders == {
        f"feedback_alignment-{rest}-seed0"
        for lr in ("0.001", "0.01")
        for rest in (f"plain-lr{lr}", f"auto-lr{lr}", f"auto-lr{lr}-eta0.001")
    }
    tried = {}
    for learning in config.learning_rate:
        for decorrelation in config.decorrelation_rate:
            eta = "" if decorrelation == DIGITS_RATE else f"-eta{decorrelation:g}"
            name = f"feedback_alignment-auto-lr{learning:g}{eta}-seed0"
            with open(tmp_path / "runs" / name / "epochs.csv", newline="") as file:
                first, *_ = csv.DictReader(file)
            tried[learning, decorrelation] = float(first["test_accuracy"])
    assert tried[rates[auto]] == max(tried.values())
    assert rates[plain].decorrelation is None
    saved = json.loads((tmp_path / "summary.json").read_text())
    assert saved["learning_rates"][auto.name] == rates[auto].learning
    assert saved["decorrelation_rates"] == {auto.name: rates[auto].decorrelation}
    described = json.loads((tmp_path / "config.json").read_text())
    assert described["decorrelation_rates"] == {auto.name: [1e-3, DIGITS_RATE]}


def test_the_rate_of_a_run_is_the_rate_of_its_layers(small):
    config = Config(decorrelation_rate=(1e-3, 1e-4))
    rates = config.rates(Net("backprop", "auto"))[1]
    run = runs.Run.of(config, Net("backprop", "auto"), rates, 0, 1)
    assert float(runs.build(config, run, small).decorrelation_rate) == pytest.approx(1e-4)
    usual = runs.Run("auto", 1e-3, 0, 1)
    assert float(runs.build(config, usual, small).decorrelation_rate) == pytest.approx(DIGITS_RATE)
