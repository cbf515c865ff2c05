"""Grids from start to end: what is written, and what stops one and what does not."""

import csv
import dataclasses
import errno
import json
import shutil

import keras
import numpy as np
import pytest
from rich.console import Console

from keras_decorr.cli.compare import run as runs
from keras_decorr.cli.folders.lock import Lock, LostLockError
from keras_decorr.cli.reproduce import grid_run as module
from keras_decorr.cli.reproduce.display import GridProgress
from keras_decorr.cli.reproduce.grid import read_grid
from keras_decorr.cli.reproduce.grid_run import reproduce
from keras_decorr.files import write_json

TEXT = """
net = ["dense"]
structure = ["full"]
decorrelation_rate = [1e-3, 2e-3]
epochs = 2
seeds = 2
"""
CURVES = ["plain", "full 0.001", "full 0.002"]


@pytest.fixture
def grid(small, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(TEXT)
    return read_grid(path)


def prepared(out, grid):
    for description in module.check_grid_folder(out, grid):
        write_json(*description)
    return out


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_that_fails_and_more_seeds(grid, tmp_path, monkeypatch):
    trained = []

    def train(config, run, *rest):
        trained.append(run)
        if len(trained) == 2:
            raise FloatingPointError("no\nluck")
        return runs.train(config, run, *rest)

    monkeypatch.setattr(module, "train", train)
    out, one = tmp_path / "out", read_grid(tmp_path / "mine.toml", seeds=1)
    report = reproduce(one, out)
    assert len(trained) == len(one.jobs) == 3
    assert list(report.failed.values()) == ["FloatingPointError: no luck"]
    assert "Traceback" in next(out.glob("digits-dense/runs/*/error.txt")).read_text()
    assert [row["inputs"] for row in table(out / "table.csv")] == [CURVES[0], CURVES[2]]
    assert "FloatingPointError: no luck" in (out / "table.md").read_text()
    # It is not tried again, unless one asks for it, and the rest is not trained again in any case.
    assert reproduce(one, out).failed
    assert len(trained) == 3
    report = reproduce(grid, out, retry=True)
    assert (len(trained), report.failed) == (3 + 1 + 3, {})

    rows = table(out / "table.csv")
    assert [(row["inputs"], row["seeds"]) for row in rows] == [(curve, "2") for curve in CURVES]
    best = {job.folder: max(float(r["test_accuracy"]) for r in table(out / job.folder / "epochs.csv"))
            for job in grid.jobs}  # fmt: skip
    for row in rows:
        of = [best[job.folder] for job in grid.jobs if job.curve.variant == row["inputs"]]
        assert float(row["best_accuracy"]) == pytest.approx(np.mean(of))
        assert float(row["best_accuracy_deviation"]) == pytest.approx(np.std(of, ddof=1))
    claims = table(out / "claims.csv")
    assert [row["claim"] for row in claims] == ["better accuracy", "fewer epochs", "less time"] * 2
    gains = {row["inputs"]: float(row["gain_points"]) for row in rows}
    for row in claims[::3]:
        assert float(row["better_by"]) == pytest.approx(gains[row["inputs"]])
    for name in ("epochs.png", "seconds.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG")
    left = [path.name for path in out.glob("digits-dense/runs/*/*")]
    assert set(left) == {"epochs.csv"}


def test_a_full_disk_stops_it_and_it_goes_on(small, tmp_path, monkeypatch):
    (tmp_path / "pair.toml").write_text("epochs = 2\n")
    grid = read_grid(tmp_path / "pair.toml")
    whole = reproduce(grid, tmp_path / "whole")
    write, written = runs.write, []

    def full(path, rows):
        written.append(path)
        if len(written) == 4:  # the weights of the epoch are written, but not that they are
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, rows)

    monkeypatch.setattr(runs, "write", full)
    out = tmp_path / "out"
    with pytest.raises(OSError, match=r"could not be written to .*No space left.*Make room"):
        reproduce(grid, out)
    assert not list(out.glob("*/runs/*/error.txt"))
    kept = table(out / grid.jobs[1].folder / "epochs.csv")
    monkeypatch.setattr(runs, "write", write)
    usage = shutil.disk_usage(out)._replace(free=1_000_000)
    with monkeypatch.context() as patch, pytest.raises(OSError, match=r"1 MB are free.*Make room"):
        patch.setattr(shutil, "disk_usage", lambda path: usage)
        reproduce(grid, out)
    for row, expected in zip(reproduce(grid, out).rows, whole.rows, strict=True):
        assert row["best_accuracy"] == pytest.approx(expected["best_accuracy"], rel=1e-4)
    for job in grid.jobs:
        tables = [table(folder / job.folder / "epochs.csv") for folder in (tmp_path / "whole", out)]
        for a, b in zip(*tables, strict=True):
            assert float(a["loss"]) == pytest.approx(float(b["loss"]), rel=1e-4)
    # Their seconds, too: these epochs were not trained again.
    assert kept == table(out / grid.jobs[1].folder / "epochs.csv")[:1]


def test_the_table_has_the_five_best_of_more_than_ten_classes(small, tmp_path, monkeypatch):
    images = dataclasses.replace(small, y_train=small.y_train + 2, classes=12)
    monkeypatch.setattr(module._Images, "of", lambda self, config: images)
    (tmp_path / "pair.toml").write_text("epochs = 2\nseeds = 2\n")
    grid, out = read_grid(tmp_path / "pair.toml"), tmp_path / "out"
    reproduce(grid, out)
    lines = (out / "table.md").read_text().splitlines()
    (column,) = {line.split("|").index(" top 5 ") for line in lines if " top 5 " in line}
    for row in table(out / "table.csv"):
        jobs = [job for job in grid.jobs if job.curve.variant == row["inputs"]]
        best = [max(float(r["test_top_5_accuracy"]) for r in table(out / job.folder / "epochs.csv"))
                for job in jobs]  # fmt: skip
        mean, deviation = np.mean(best), np.std(best, ddof=1)
        assert len(best) == 2 and mean > float(row["best_accuracy"])
        assert float(row["best_top_5_accuracy"]) == pytest.approx(mean)
        assert float(row["best_top_5_accuracy_deviation"]) == pytest.approx(deviation)
        (line,) = [line for line in lines if f"| {row['inputs']} | 0.0" in line and "±" in line]
        assert line.split("|")[column].strip() == f"{mean:.3f} ± {deviation:.3f}"


def test_a_failed_run_that_is_tried_again_goes_on(grid, tmp_path, monkeypatch):
    grid = read_grid(tmp_path / "mine.toml", seeds=1)
    out, job = tmp_path / "out", grid.jobs[1]
    evaluate, calls = keras.Model.evaluate, []

    def fail(self, *args, **kwargs):
        calls.append(self)
        if len(calls) == 4:  # its second epoch
            raise RuntimeError("out of memory")
        return evaluate(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(keras.Model, "evaluate", fail)
        patch.setattr(module._Images, "of", lambda self, config: runs.load_data(config))
        assert list(reproduce(grid, out).failed) == [job.folder]
    (before,) = runs.read(out / job.folder / "epochs.csv")
    assert reproduce(grid, out, retry=True).failed == {}
    assert runs.read(out / job.folder / "epochs.csv")[0] == before  # its seconds, too
    assert not list((out / job.folder).glob("*.h5"))


def test_images_that_cannot_be_read_fail_their_run_alone(grid, tmp_path, monkeypatch):
    class Silent(GridProgress):
        def __init__(self):
            super().__init__(Console(quiet=True), grid, tmp_path)

    def broken(config):
        raise OSError(errno.EIO, "damaged")

    monkeypatch.setattr(module, "load_data", broken)
    report = reproduce(grid, tmp_path, Silent())
    assert len(report.failed) == len(grid.jobs)
    assert all("damaged" in error for error in report.failed.values())


def test_a_run_that_was_lost_is_left_to_who_has_it(grid, tmp_path, monkeypatch):
    job = grid.jobs[0]
    there = tmp_path / job.folder / "checkpoint-1.weights.h5"

    def lose(*args):  # another process took over while this one hung
        there.with_name("lock-7").write_text("{}")
        there.write_text("the other's")
        raise FileNotFoundError("gone")

    monkeypatch.setattr(module, "train", lose)
    images = module._Images()
    assert module._work(tmp_path, job, images, None) is False
    assert there.exists() and there.with_name("lock-7").exists()
    assert not there.with_name("error.txt").exists()


def test_a_damaged_table_is_named(grid, tmp_path):
    grid = read_grid(tmp_path / "mine.toml", seeds=1)
    reproduce(grid, tmp_path)
    path = tmp_path / grid.jobs[0].folder / "epochs.csv"
    path.write_text(path.read_text()[:-30])
    with pytest.raises(ValueError, match=rf"table of epochs {path} is damaged.*Delete it"):
        reproduce(grid, tmp_path)


def test_a_run_that_went_to_another_process_is_not_written(grid, tmp_path):
    job = grid.jobs[0]
    with Lock(tmp_path / job.folder) as lock:

        class Lose(keras.callbacks.Callback):
            def on_epoch_end(self, epoch, logs=None):
                (tmp_path / job.folder / "lock-7").write_text("{}")

        images = runs.load_data(job.config)
        callbacks = [Lose(), module._StillMine(lock)]
        with pytest.raises(LostLockError):
            runs.train(job.config, job.run, images, (tmp_path / job.folder).parents[1], callbacks)
    assert not (tmp_path / job.folder / "epochs.csv").exists()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"grid": "other"}, r"holds another grid: other instead of mine.*--out"),
        ({"scale": "small"}, "another grid: small instead of paper"),
        ({"versions": {"keras-decorr": "0.0.1"}}, "runs of keras-decorr 0.0.1, and this is "),
        ({"versions": {"keras": "3.0.0"}}, "runs of keras 3.0.0, and this is "),
        ({"backend": "abacus"}, "runs of backend abacus, and this is "),
        ("{", "cannot be read"),
        ({"panels": None, "versions": None}, "cannot be read|another grid"),
    ],
)
def test_a_folder_of_something_else_is_refused_before_any_work(
    grid, tmp_path, monkeypatch, changed, said
):
    out = prepared(tmp_path / "out", grid)
    saved = json.loads((out / "grid.json").read_text())
    if isinstance(changed, dict):
        if isinstance(changed.get("versions"), dict):
            changed = {"versions": saved["versions"] | changed["versions"]}
        changed = json.dumps(saved | changed)
    (out / "grid.json").write_text(changed)
    monkeypatch.setattr(module, "train", None)
    with pytest.raises(ValueError, match=said):
        reproduce(grid, out)
    assert (out / "grid.json").read_text() == changed


def test_other_options_a_comparison_and_missing_images_are_refused(grid, tmp_path):
    out = prepared(tmp_path / "out", grid)
    path = tmp_path / "mine.toml"
    path.write_text(TEXT.replace("epochs = 2", "epochs = 5"))
    with pytest.raises(ValueError, match=r"another \['epochs'\].*--out"):
        reproduce(read_grid(path), out)
    with pytest.raises(ValueError, match="holds a comparison, not a grid"):
        reproduce(grid, out / "digits-dense")
    path.write_text(TEXT.replace("seeds = 2", "train_size = 2000"))
    with pytest.raises(ValueError, match=r"`train_size` .*'digits'.* 1437,.*Received: 2000"):
        reproduce(read_grid(path), tmp_path / "new")
    assert not list((tmp_path / "new").rglob("*.json"))  # so the next one is not refused
    path.write_text('dataset = "mnist"\n' + TEXT)
    with pytest.raises(FileNotFoundError, match="`data_dir` must be an existing folder"):
        reproduce(read_grid(path, data_dir=str(tmp_path / "none")), tmp_path / "third")
