"""Runs and their tables; test_comparison.py and test_rules.py train them."""

import pytest

from keras_decorr.cli.compare.config import Config, Net, Rates
from keras_decorr.cli.compare.run import Run, delete_checkpoints, read, write

ROW = {
    "epoch": 1, "seconds": 0.5, "loss": 1.0, "accuracy": 0.5, "test_loss": 1.5, "test_accuracy": 0.25,
}  # fmt: skip


def test_a_folder_is_named_by_rule_variant_rates_and_seed():
    config = Config(decorrelation_rate=(1e-3, 2e-3))
    plain = Run.of(config, Net("backprop", "plain"), Rates(1e-3, None), 0, 5)
    assert (plain.name, plain.epochs) == ("plain-lr0.001-seed0", 5)
    net = Net("feedback_alignment", "auto")
    other = Run.of(config, net, Rates(1e-3, 1e-3), 3, 5)
    assert other.name == "feedback_alignment-auto-lr0.001-eta0.001-seed3"
    assert other.net == net
    usual = Run.of(config, net, Rates(1e-3, config.usual_rate(net)), 3, 5)
    assert usual.name == "feedback_alignment-auto-lr0.001-seed3"


def test_a_table_is_read_back(tmp_path):
    table = tmp_path / "epochs.csv"
    assert read(table) == []
    rows = [ROW, {**ROW, "epoch": 2, "loss": 1 / 3}]
    write(table, rows)
    assert read(table) == rows
    table.write_text(table.read_text()[:-12])
    with pytest.raises(ValueError, match="is damaged"):
        read(table)


def test_further_figures_are_kept_and_others_are_not(tmp_path):
    write(tmp_path / "epochs.csv", [{**ROW, "skipped_updates": 2.0, "val_loss": 3.0}])
    assert read(tmp_path / "epochs.csv") == [{**ROW, "skipped_updates": 2.0}]


def test_checkpoints_are_deleted_and_models_kept(tmp_path):
    for name in ("checkpoint-1.weights.h5", ".half-checkpoint-2.weights.h5", "model.keras"):
        (tmp_path / name).touch()
    delete_checkpoints(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]
