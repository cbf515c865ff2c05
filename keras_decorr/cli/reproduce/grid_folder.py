"""The folder of a grid: its description, and the state of its runs."""

import json
import traceback
from pathlib import Path
from typing import Any

import keras

from keras_decorr.cli.compare.folder import check_folder
from keras_decorr.cli.compare.run import TABLE, read
from keras_decorr.cli.folders.folder import check_versions, versions
from keras_decorr.cli.reproduce.grid import panel_name
from keras_decorr.files import write_text

_ERROR = "error.txt"


def check_grid_folder(out: Path, grid: Any) -> list:
    """Makes the folder of a grid and checks that this grid may use it.

    Returns:
        `(path, content)` of the JSON files to write once all else is checked.

    Raises:
        PermissionError: If it cannot be written to.
        ValueError: If it holds something else: a comparison, another grid or another scale of it, runs
            with other options, of another backend or another version of the package or of Keras.
    """
    out = Path(out)
    mine = _description(grid)
    path = out / "grid.json"
    if path.exists():
        _check(out, mine, path)
    elif (out / "config.json").exists():
        raise ValueError(
            f"The folder holds a comparison, not a grid. Choose another --out. "
            f"Received: --out {str(out)!r}"
        )
    panels = [check_folder(out / panel_name(config), config) for config in grid.panels]
    return [*panels, (path, mine)]


def _check(out: Path, mine: dict, path: Path) -> None:
    advice = f"Choose another --out, or delete it. Received: --out {str(out)!r}"
    try:
        theirs = json.loads(path.read_text())
        differing = [key for key in ("grid", "scale", "panels") if theirs[key] != mine[key]]
        check_versions(theirs, advice)
    except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"The file grid.json of the folder cannot be read. {advice}") from error
    if differing:
        raise ValueError(
            f"The folder holds another grid: {', '.join(str(theirs[k]) for k in differing)} instead "
            f"of {', '.join(str(mine[k]) for k in differing)}. {advice}"
        )


def _description(grid: Any) -> dict:
    return {
        "grid": grid.name,
        "title": grid.title,
        "scale": grid.scale,
        "panels": [panel_name(config) for config in grid.panels],
        "backend": keras.backend.backend(),
        "versions": versions(),
    }


def finished(out: Path, job: Any) -> Any:
    """Returns the rows of a finished run, or `None`."""
    rows = read(out / job.folder / TABLE)
    return rows[: job.run.epochs] if len(rows) >= job.run.epochs else None


def failure(out: Path, job: Any) -> Any:
    """Returns the error that a run ended with, or `None`."""
    path = out / job.folder / _ERROR
    return path.read_text() if path.exists() else None


def record_failure(out: Path, job: Any, error: Any) -> None:
    """Writes the error of a run to its folder: the message in the first line, then the traceback."""
    (out / job.folder).mkdir(parents=True, exist_ok=True)
    summary = " ".join(f"{type(error).__name__}: {error}".split())
    text = "".join(traceback.format_exception(error))
    write_text(out / job.folder / _ERROR, f"{summary}\n\n{text}")


def forget_failures(out: Path, grid: Any) -> None:
    """Deletes the errors of the runs that failed, so that they are tried again."""
    for job in grid.jobs:
        (out / job.folder / _ERROR).unlink(missing_ok=True)


def collect(out: Path, grid: Any) -> tuple:
    """Reads the runs of a grid.

    Returns:
        `({panel: {curve: {seed: rows}}}, {folder: error})`, of the finished runs and of those that
        failed.
    """
    results: dict = {config: {} for config in grid.panels}
    failed = {}
    for job in grid.jobs:
        rows = finished(out, job)
        if rows is not None:
            results[job.config].setdefault(job.curve, {})[job.run.seed] = rows
        elif error := failure(out, job):
            failed[job.folder] = error.splitlines()[0]
    return results, failed
