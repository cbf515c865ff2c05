"""Trains the runs of a grid, alone or beside other processes that share its folder."""

import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import keras

from keras_decorr import datasets
from keras_decorr.cli.compare.run import delete_checkpoints, load_data, train
from keras_decorr.cli.folders.disk import explain_full_disk, is_disk_full
from keras_decorr.cli.folders.lock import Lock, delete_locks
from keras_decorr.cli.reproduce.grid_folder import (
    check_grid_folder,
    failure,
    finished,
    forget_failures,
    record_failure,
)
from keras_decorr.cli.reproduce.report import write_report
from keras_decorr.datasets.pipeline import check_sizes
from keras_decorr.files import write_json

POLL = 3.0  # seconds between two looks at the runs of other processes


def reproduce(grid: Any, out: Any, progress: Any = None, retry: bool = False) -> Any:
    """Trains every run of a grid, and writes its tables and figures.

    A grid that was stopped, by kill -9, too, resumes when it is started again with the same folder:
    after the last whole epoch of the run it was training. Any number of processes, on any number of
    machines, may work on one folder; one process at a time trains a run. The error of a run that fails
    is written to its folder, and the others are trained.

    Args:
        grid: The `Grid`.
        out: Folder for the results. It gets `table.csv`, `table.md`, `claims.csv`, `epochs.png`,
            `seconds.png`, and for every panel a folder as `compare` writes it.
        progress: A `GridProgress` to report to, or `None`.
        retry: Try the runs again that failed in an earlier call.

    Returns:
        A `Report`.

    Raises:
        FileNotFoundError: If a data set is missing.
        OSError: If the folder cannot be written to, at the start or, on a full disk, later on. What is
            done stays done.
        ValueError: If the folder holds something else, or the data sets have fewer images than the grid
            asks for.
    """
    out, descriptions = Path(out), check_grid_folder(out, grid)
    _prepare_data(grid, out)
    for description in descriptions:
        write_json(*description)
    if retry:
        forget_failures(out, grid)
    images = _Images()
    with progress or nullcontext():
        while left := [job for job in grid.jobs if not _settled(out, job)]:
            worked = [_work(out, job, images, progress) for job in left]
            if not any(worked):
                time.sleep(POLL)
                if progress is not None:
                    progress.refresh_grid()
    return write_report(out, grid)


def _settled(out: Path, job: Any) -> Any:
    return finished(out, job) is not None or failure(out, job) is not None


def _work(out: Path, job: Any, images: Any, progress: Any) -> Any:
    """Trains a run unless another process has it, or had it; returns whether it was trained."""
    folder = out / job.folder
    with Lock(folder) as lock:
        if not lock.held:
            return False
        if worked := not _settled(out, job):
            callbacks = [_StillMine(lock)]
            try:
                data = images.of(job.config)
                if progress is not None:
                    callbacks.append(progress.of(job.run, job.config, data))
                with explain_full_disk(out, f"{job.folder} resumes after its last whole epoch"):
                    train(job.config, job.run, data, folder.parent.parent, callbacks)
            except Exception as error:
                if lock.lost:  # whatever it is that went wrong then: the run is another's
                    return False
                if is_disk_full(error):
                    raise
                record_failure(out, job, error)
            if progress is not None:
                progress.ended(job)
        if lock.lost:
            return False
        if finished(out, job) is not None:  # one that failed may be tried again
            delete_checkpoints(folder)
        delete_locks(folder)
    return worked


def _prepare_data(grid: Any, out: Path) -> None:
    """Downloads the data sets, one process at a time, and raises if one is missing or too small."""
    for dataset, data_dir in dict.fromkeys((c.dataset, c.data_dir) for c in grid.panels):
        folder = out / ".locks" / dataset
        while True:
            with Lock(folder) as lock:
                if lock.held:
                    sizes = datasets.prepare(dataset, data_dir)
                    break
            time.sleep(POLL)
        for config in grid.panels:
            if config.dataset == dataset:
                check_sizes(dataset, sizes, (config.train_size, config.test_size))


class _Images:
    """Keeps the images of the current run for the next one if it has the same."""

    def __init__(self) -> None:
        self._key: tuple | None = None
        self._images: Any = None

    def of(self, config: Any) -> Any:
        key = (config.dataset, config.data_dir, config.train_size, config.test_size)
        if key != self._key:
            self._key = self._images = None  # not two data sets in memory at once
            self._images = load_data(config)
            self._key = key
        return self._images


class _StillMine(keras.callbacks.Callback):
    """Stops a run that another process has taken over, before it writes anything."""

    def __init__(self, lock: Any) -> None:
        super().__init__()
        self.lock = lock

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.lock.check()

    def on_test_end(self, logs: dict | None = None) -> None:
        self.lock.check()
