"""Searches the rates of a net on a data set, and writes the results folder."""

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from keras_decorr.cli.folders.disk import explain_full_disk
from keras_decorr.cli.folders.folder import (
    check_versions,
    explain_other_content,
    versions,
    writable_folder,
)
from keras_decorr.cli.net_config import upgraded
from keras_decorr.cli.tune import distributed, report
from keras_decorr.cli.tune.net_hyper_model import NetHyperModel
from keras_decorr.files import write_json
from keras_decorr.tuning.tuners import make_tuner

_MAY_DIFFER = ("data_dir", "trials")


def search(config: Any, out: Any, display: Any = None, workers: int = 1) -> Any:
    """Searches the rates of a net on a data set, and writes the results folder.

    A search that was stopped, by kill -9, too, resumes when it is started again with the same
    configuration and folder; the trial that was running starts again.

    Args:
        config: The `TuningConfig`.
        out: Folder for the results. It gets `config.json`, `trials.csv`, `summary.json`,
            `heat_map.png`, and KerasTuner's own files in `search/`.
        display: A `Display` to show the trials, or `None`.
        workers: Number of processes that run trials. Where KerasTuner's environment variables say what
            this process is, chief or worker, it is that.

    Returns:
        `(summary, rows)` of `report`. `None` for a worker, which leaves the results to its chief.

    Raises:
        OSError: If the folder cannot be written to, at the start or, on a full disk, later on. What is
            done stays done.
        ValueError: If it holds another search, or there are too few data.
        ChildProcessError: If a worker ends with an error.
    """
    role = distributed.role()
    if role is not None and workers != 1:
        raise ValueError(
            "Option --workers is for a search on this machine alone. Leave it out where KERASTUNER_"
            f"ORACLE_IP says where the chief is. Received: --workers {workers}"
        )
    out = writable_folder(out)
    described = _described(out / "config.json", config)
    data = config.task.split(config.task.load(config), config)
    if described is not None:  # only now, or a command that is refused leaves its options behind
        write_json(out / "config.json", described)
    hyper_model = NetHyperModel(config, data)

    def made() -> Any:
        return _tuner(config, out, hyper_model)

    resumes = "the trial that was running begins anew"
    if role == "worker":
        with explain_full_disk(out, resumes), without_retracing_warnings():
            tuner = made()
            tuner.watcher = _WorkersWatcher(tuner, hyper_model, None, config)
            tuner.search(epochs=config.epochs, verbose=0)
        return None
    with display or nullcontext(), explain_full_disk(out, resumes), without_retracing_warnings():
        if role == "chief" or workers > 1:
            count = 0 if role == "chief" else workers
            with distributed.chief(made, out, count) as (tuner, still_runs):
                watcher = _Watcher(tuner, hyper_model, display, config)
                while still_runs():
                    watcher.show()
                watcher.show()
        else:
            tuner = made()
            tuner.watcher = _Watcher(tuner, hyper_model, display, config)
            tuner.watcher.show()
            tuner.search(epochs=config.epochs, verbose=0)
    for checkpoint in (out / "search").glob("trial_*/checkpoint.weights.h5"):
        checkpoint.unlink()  # Hyperband's
    return _written(config, out, report.rows(tuner.oracle, hyper_model))


@contextmanager
def without_retracing_warnings() -> Iterator[Any]:
    """Hides TensorFlow's warning of retracing: each trial has a new model, which must be traced."""

    def told(record: Any) -> bool:
        return "triggered tf.function retracing" not in record.getMessage()

    logger = logging.getLogger("tensorflow")
    logger.addFilter(told)
    try:
        yield
    finally:
        logger.removeFilter(told)


def _tuner(config: Any, out: Path, hyper_model: Any) -> Any:
    return make_tuner(
        config.tuner,
        hyper_model,
        f"val_{config.task.figure}",
        out / "search",
        trials=config.trials,
        epochs=config.epochs if config.tuner == "hyperband" else None,
        seed=config.seed,
    )


def _described(path: Path, config: Any) -> dict | None:
    """Returns the description of the search to write to its folder; `None` if it is there."""
    mine = json.loads(json.dumps(config.description()))
    if path.exists():
        advice = f"Choose another --out, or delete it. Received: --out {str(path.parent)!r}"
        with explain_other_content("a search", advice):
            theirs = json.loads(path.read_text())
            if "tuner" not in theirs["config"] or "keras" not in theirs["versions"]:  # a comparison
                raise KeyError("tuner")
            theirs["config"] = upgraded(theirs["config"])
            changed = _differences(mine, theirs)
        if changed:
            raise ValueError(
                f"The folder holds a search with another {', '.join(changed)}. {advice}"
            )
        check_versions(theirs, advice)
        if theirs["config"] == mine["config"]:
            return None  # other processes may be reading it
    return {**mine, "versions": versions()}


def _differences(mine: dict, theirs: dict) -> list:
    names = [n for n in {**mine["config"], **theirs["config"]} if n not in _MAY_DIFFER]
    changed = [n for n in names if mine["config"].get(n) != theirs["config"].get(n)]
    for name in mine.keys() - {"config"}:
        if name not in changed and mine[name] != theirs.get(name):
            changed.append(name)
    return sorted(changed)


def _written(config: Any, out: Path, rows: list[dict]) -> tuple:
    summary = report.summarise(rows, config.defaults, config.task)
    report.write_table(out / "trials.csv", rows)
    write_json(out / "summary.json", summary)
    default = tuple(config.defaults[name] for name in ("learning_rate", "decorrelation_rate"))
    title = f"{config.dataset}, {config.net} net"
    report.heat_map(rows, out / "heat_map.png", title, default, config.task)
    return summary, rows


class _Watcher:
    """Keeps the display and the folder of a search up to date."""

    def __init__(self, tuner: Any, hyper_model: Any, display: Any, config: Any) -> None:
        self.tuner, self.hyper_model, self.display = tuner, hyper_model, display
        self._figure = config.task.figure
        self._keeps_checkpoints = config.tuner == "hyperband"
        self._running: dict = {}

    def on_trial_begin(self, trial: Any) -> None:
        self._running = {"trial": trial.trial_id, "start": time.perf_counter()}
        self.show()

    def on_epoch_end(self, trial: Any, epoch: int, logs: Any) -> None:
        seconds = time.perf_counter() - self._running["start"]
        self._running |= {
            "epoch": epoch + 1, "seconds": seconds, self._figure: logs.get(f"val_{self._figure}"),
        }  # fmt: skip
        self.show()

    def on_trial_end(self, trial: Any) -> None:
        if not self._keeps_checkpoints:
            folder = Path(self.tuner.get_trial_dir(trial.trial_id))
            (folder / "checkpoint.weights.h5").unlink(missing_ok=True)
        self.show()

    def show(self) -> None:
        if self.display is None:
            return
        rows = report.rows(self.tuner.oracle, self.hyper_model)
        for row in rows:
            if row["status"] == "running" and row["trial"] == self._running.get("trial"):
                row |= {n: self._running.get(n) for n in ("epoch", "seconds", self._figure)}
        self.display.show(rows)


class _WorkersWatcher(_Watcher):
    """Prints a line for every trial of a worker, whose chief shows the table."""

    def on_trial_end(self, trial: Any) -> None:
        super().on_trial_end(trial)
        told, running = [f"trial {trial.trial_id} {trial.status.lower()}"], self._running
        if "epoch" in running:
            last = f"{self._figure} {running[self._figure]:.4f} in epoch {running['epoch']}"
            told.append(f"{last}, {running['seconds']:.1f} s")
        told += [trial.message] if trial.message else []
        print(": ".join(told), flush=True)
