"""The summary and the table of a search."""

import csv

from keras_decorr.cli.tasks import IMAGES, TEXTS
from keras_decorr.cli.tune.report import best_of, heat_map, summarise, write_table


def row(trial, rate, decorrelation, accuracy, status="completed"):
    return {
        "trial": trial, "status": status, "learning_rate": rate, "decorrelation_rate": decorrelation,
        "accuracy": accuracy, "loss": 0.3, "epoch": 2, "seconds": 1.5, "message": "",
    }  # fmt: skip


ROWS = [
    row("0", 1e-3, 1e-4, 0.8),
    row("1", 1e-3, 0.0, 0.7),
    {**row("2", 1e-2, 1e-4, None, "failed"), "message": "it diverges"},
    {**row("3", 3e-4, 1e-4, 0.85), "structure": "full"},
]
DEFAULTS = {"learning_rate": 1e-3, "decorrelation_rate": 1e-4}


def test_the_best_is_compared_with_the_default_and_the_plain_net():
    summary = summarise(ROWS, DEFAULTS)
    assert [summary[name]["trial"] for name in ("best", "default", "control")] == ["3", "0", "1"]
    assert round(summary["gain_over_default"], 6) == 5
    assert round(summary["gain_over_control"], 6) == 15
    assert summary["trials"] == {"completed": 3, "failed": 1, "running": 0}
    assert summary["trial_seconds"] == 4.5


def test_without_a_completed_trial_there_is_no_gain():
    summary = summarise([ROWS[2]], DEFAULTS)
    assert summary["best"] is summary["default"] is summary["gain_over_default"] is None


def test_the_table_has_every_setting_and_the_message_last(tmp_path):
    write_table(tmp_path / "trials.csv", ROWS)
    with open(tmp_path / "trials.csv", newline="") as file:
        found = list(csv.DictReader(file))
    assert list(found[0])[-2:] == ["structure", "message"]
    assert [one["structure"] for one in found] == ["", "", "", "full"]
    assert found[2]["message"] == "it diverges"


def test_the_heat_map_has_the_failed_trials_too(tmp_path):
    heat_map(ROWS, tmp_path / "map.png", "title", (1e-3, 1e-4))
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")


def test_of_language_models_the_lowest_loss_is_best():
    rows = [{**one, "loss": loss} for one, loss in zip(ROWS, (2.0, 1.5, None, 1.9), strict=True)]
    summary = summarise(rows, DEFAULTS, TEXTS)
    assert summary["best"]["trial"] == summary["control"]["trial"] == "1"
    assert summary["gain_over_default"] == 0.5
    assert best_of(rows[:2], IMAGES)["trial"] == "0"
    assert best_of([], TEXTS) is None
