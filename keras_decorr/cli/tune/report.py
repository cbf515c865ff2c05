"""The results of a search: a table of trials, their summary and the heat map."""

from pathlib import Path
from typing import Any

import numpy as np

from keras_decorr.cli.tasks import IMAGES, Task
from keras_decorr.files import write_csv

_METRICS = {"accuracy": "val_accuracy", "loss": "val_loss"}


def rows(oracle: Any, hyper_model: Any) -> Any:
    """Returns one dictionary per trial, in the order in which they began.

    Args:
        oracle: The oracle of the search.
        hyper_model: Its `NetHyperModel`.

    Returns:
        A list of dictionaries: `trial`, `status` ("completed", "failed" or "running"), the settings of
        `DecorHyperModel.settings`, the figure of the task (such as `accuracy`) and `loss` on the part
        for validation, `epoch` (from 1) in which the figure was best and `seconds` until then, and
        `message` of a failed trial.
    """
    found = []
    names = dict.fromkeys((hyper_model.config.task.figure, "loss", "epoch", "seconds"))
    order = list(oracle.start_order)  # first: a trial comes there last
    for trial_id in order:
        trial = oracle.trials[trial_id]
        done = trial.status == "COMPLETED"
        figures = {}
        for name in names:
            metric = _METRICS.get(name, name)
            known = done and trial.metrics.exists(metric)
            figures[name] = float(trial.metrics.get_best_value(metric)) if known else None
        found.append(
            {
                "trial": trial_id,
                "status": trial.status.lower(),
                **hyper_model.settings(trial.hyperparameters.copy()),
                **figures,
                "message": trial.message or "",
            }
        )
    return found


def summarise(rows: list[dict], defaults: Any, task: Task = IMAGES) -> dict:
    """Compares the best trial with the one with the net's default rates.

    Args:
        rows: Of `rows`.
        defaults: `{hyperparameter: value}` of the default rates.
        task: What the nets learn. Defaults to the classification of images.

    Returns:
        A dictionary: `best`, `default` and `control` (the best without decorrelation) are rows, or
        `None`; `gain_over_default` and `gain_over_control` are in the units of the task, such as points
        of accuracy; `trials` counts them by their status; `trial_seconds` is the time that the
        completed ones took.
    """
    completed = [row for row in rows if row["status"] == "completed"]
    usual = [r for r in completed if all(r[name] == v for name, v in defaults.items())]
    plain = [row for row in completed if row["decorrelation_rate"] == 0]
    best, default, control = (best_of(some, task) for some in (completed, usual, plain))
    return {
        "best": best,
        "default": default,
        "control": control,
        "gain_over_default": _gain(best, default, task),
        "gain_over_control": _gain(best, control, task),
        "trials": {
            status: sum(row["status"] == status for row in rows)
            for status in ("completed", "failed", "running")
        },
        "trial_seconds": sum(row["seconds"] for row in completed),
    }


def best_of(rows: list[dict], task: Task) -> Any:
    """Returns the row with the best figure, or `None` without rows."""
    best = task.best([row[task.figure] for row in rows])
    return next((row for row in rows if row[task.figure] == best), None)


def _gain(best: Any, other: Any, task: Task) -> Any:
    if best is None or other is None:
        return None
    return task.gain(best[task.figure], other[task.figure])


def write_table(path: Path, rows: list[dict]) -> None:
    """Writes the trials to a CSV file, the message of failed ones in the last column."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    names.append(names.pop(names.index("message")))
    write_csv(path, rows, names)


def heat_map(
    rows: list[dict], path: Path, title: str, marked: Any = None, task: Task = IMAGES
) -> None:
    """Draws the best figure of every pair of rates.

    Args:
        rows: Of `rows`.
        path: File to write.
        title: Title of the figure.
        marked: Pair of rates to mark as the default.
        task: What the nets learn. Defaults to the classification of images.
    """
    from keras_decorr.plots import rate_heat_map

    ended = [row for row in rows if row["status"] in ("completed", "failed")]
    forward, decorrelation, figures = (
        np.array([row[name] for row in ended], dtype="float64")
        for name in ("learning_rate", "decorrelation_rate", task.figure)
    )
    rate_heat_map(
        forward,
        decorrelation,
        figures,
        path=path,
        title=title,
        label=f"validation {task.figure}",
        marked=marked,
        larger_is_better=task.larger_is_better,
    )
