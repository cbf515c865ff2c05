"""The folder of a grid: what it is refused for is in test_grid_run.py."""

import json
from pathlib import Path

import keras
import pytest

from keras_decorr.cli.compare.config import Config
from keras_decorr.cli.compare.run import write
from keras_decorr.cli.folders.folder import versions
from keras_decorr.cli.reproduce.grid import Grid, panel_name, read_grid
from keras_decorr.cli.reproduce.grid_folder import (
    check_grid_folder,
    collect,
    failure,
    finished,
    forget_failures,
    record_failure,
)

OLD = Path(__file__).parents[3] / "benchmarks" / "results" / "subsets-conv"
ROW = {
    "epoch": 1, "seconds": 0.5, "loss": 1.0, "accuracy": 0.5, "test_loss": 1.5, "test_accuracy": 0.25,
}  # fmt: skip


@pytest.fixture
def grid(tmp_path):
    (tmp_path / "mine.toml").write_text("epochs = 1\n")
    return read_grid(tmp_path / "mine.toml")


def test_a_folder_of_version_0_1_0_is_resumed(tmp_path):
    saved = json.loads((OLD / "grid.json").read_text())
    panels = []
    for name in saved["panels"]:
        text = (OLD / name / "config.json").read_text()
        panels.append(Config.from_dict(json.loads(text)["config"]))
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(text)
        assert panel_name(panels[-1]) == name
    now = {**saved, "versions": versions(), "backend": keras.backend.backend()}
    (tmp_path / "grid.json").write_text(json.dumps(now))
    grid = Grid(saved["grid"], saved["title"], saved["scale"], tuple(panels))
    *described, (path, content) = check_grid_folder(tmp_path, grid)
    assert (path, content) == (tmp_path / "grid.json", now)
    assert len(described) == len(panels)


def test_a_run_is_finished_failed_or_neither(grid, tmp_path):
    plain, auto = grid.jobs
    assert finished(tmp_path, plain) is None and failure(tmp_path, plain) is None
    (tmp_path / plain.folder).mkdir(parents=True)
    write(tmp_path / plain.folder / "epochs.csv", [ROW])
    assert finished(tmp_path, plain) == [ROW]
    record_failure(tmp_path, auto, ArithmeticError("no\n  luck"))
    assert failure(tmp_path, auto).startswith("ArithmeticError: no luck\n\n")
    results, failed = collect(tmp_path, grid)
    assert results == {plain.config: {plain.curve: {0: [ROW]}}}
    assert failed == {auto.folder: "ArithmeticError: no luck"}
    forget_failures(tmp_path, grid)
    assert failure(tmp_path, auto) is None
    assert collect(tmp_path, grid)[1] == {}
