"""The report of a grid from the tables of its runs."""

import csv
import json

import pytest

from keras_decorr.cli.compare.run import write
from keras_decorr.cli.reproduce.grid import read_grid
from keras_decorr.cli.reproduce.grid_folder import record_failure
from keras_decorr.cli.reproduce.report import table, write_report

ACCURACIES = {"plain": (0.5, 0.6), "full": (0.65, 0.7)}


def rows(accuracies):
    common = {"seconds": 2.0, "loss": 1.0, "accuracy": 0.5, "test_loss": 1.5}
    return [
        {"epoch": i + 1, **common, "test_accuracy": accuracy}
        for i, accuracy in enumerate(accuracies)
    ]


@pytest.fixture
def trained(tmp_path):
    """A grid and its folder, with the tables of all runs but one, which failed."""
    (tmp_path / "mine.toml").write_text(
        'title = "T"\nstructure = ["full", "monarch"]\nepochs = 2\nseeds = 2\n'
    )
    grid = read_grid(tmp_path / "mine.toml")
    for job in grid.jobs:
        if job.run.variant == "monarch":
            record_failure(tmp_path, job, ArithmeticError("no luck"))
            continue
        (tmp_path / job.folder).mkdir(parents=True)
        shifted = [accuracy + job.run.seed / 100 for accuracy in ACCURACIES[job.run.variant]]
        write(tmp_path / job.folder / "epochs.csv", rows(shifted))
    described = {"versions": {"keras-decorr": "1", "keras": "3"}, "backend": "jax"}
    (tmp_path / "grid.json").write_text(json.dumps(described))
    return grid, tmp_path


def test_tables_claims_and_failures(trained):
    grid, out = trained
    report = write_report(out, grid)
    assert [row["inputs"] for row in report.rows] == ["plain", "full"]
    _, full = report.rows
    assert full["best_accuracy"] == pytest.approx(0.705)
    assert full["gain_points"] == pytest.approx(10)
    assert (full["epochs_to_plain_best"], full["seconds_to_plain_best"]) == (1, 2)
    assert len(report.failed) == 2
    with open(out / "table.csv", newline="") as file:
        assert [float(row["best_accuracy"]) for row in csv.DictReader(file)] == [
            pytest.approx(0.605), pytest.approx(0.705),
        ]  # fmt: skip
    claims = {claim.text: claim for _, claim in report.claims}
    assert claims["better accuracy"].mean == pytest.approx(10)
    assert claims["less time"].mean == pytest.approx(2)
    text = (out / "table.md").read_text()
    assert text.startswith("# T\n")
    assert "Runs that failed" in text and "ArithmeticError: no luck" in text
    for name in ("epochs.png", "seconds.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG")


def test_a_markdown_table():
    assert table(("a", "b"), [("1", "2")]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"
