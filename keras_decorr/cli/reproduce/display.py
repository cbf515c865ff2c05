"""The progress bar of a grid, with an estimate of the time left, and the tables at its end."""

import time
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress
from rich.table import Table
from rich.text import Text

from keras_decorr.cli.compare.display import Bar, Progress
from keras_decorr.cli.compare.figure import words
from keras_decorr.cli.compare.run import TABLE, read
from keras_decorr.cli.folders.lock import held_by_others
from keras_decorr.cli.reproduce.grid import panel_name
from keras_decorr.cli.reproduce.grid_folder import failure, finished

_EVERY = 5.0  # seconds between two looks at the folder


def time_left(runs: Any, workers: int) -> float | None:
    """Estimates the seconds until a grid is done from its finished epochs.

    Args:
        runs: `(panel, curve, epochs to go, seconds of each finished epoch)` for every run. A run of
            which nothing is known takes as long as others of its curve, or else of its panel, or else
            as the others on average.
        workers: Number of processes at work.

    Returns:
        Seconds, or `None` if no epoch is finished.
    """
    known: dict = {}
    for panel, curve, _left, seconds in runs:
        for key in ((panel, curve), panel, None):
            known.setdefault(key, []).extend(seconds)
    if not known.get(None):
        return None
    total = 0.0
    for panel, curve, left, _seconds in runs:
        some = known.get((panel, curve)) or known.get(panel) or known[None]
        total += left * float(np.mean(some))
    return total / max(workers, 1)


class _GridBar(Bar):
    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        super().on_epoch_end(epoch, logs)
        self.progress.refresh_grid()


class GridProgress(Progress):
    """Shows a bar for the whole grid above that of the current run."""

    bar = _GridBar

    def __init__(self, console: Any, grid: Any, out: str) -> None:
        RichProgress.__init__(
            self,
            TextColumn("{task.description}"),
            BarColumn(bar_width=12),
            MofNCompleteColumn(),
            _Left(),
            TextColumn("{task.fields[metrics]}"),
            console=console,
        )
        self.grid, self.out = grid, Path(out)
        self._looked, self._in_hand = -np.inf, None
        self._whole = self.add_task(
            f"{grid.name}, epochs",
            total=sum(job.run.epochs for job in grid.jobs),
            metrics="",
            left="",
        )

    def of(self, run: Any, config: Any, images: Any) -> Any:
        """Returns the callback that shows a run."""
        self._in_hand = super().of(run, config, images)
        self.refresh_grid()
        return self._in_hand

    def ended(self, job: Any) -> None:
        """Prints the result of a run, and updates the bar of the grid."""
        rows = finished(self.out, job)
        if rows is None:
            error, *_ = (failure(self.out, job) or "").splitlines() or [""]
            said = f"[red]failed[/red]: {escape(error)}"
        else:
            best = max(row["test_accuracy"] for row in rows)
            said = f"best test accuracy {best:.4f}, {sum(row['seconds'] for row in rows):.0f} s"
        self.console.print(f"{panel_name(job.config)} {job.run.title}: {said}", highlight=False)
        if self._in_hand is not None and self._in_hand.task is not None:
            self.remove_task(self._in_hand.task)
        self._in_hand = None
        self.refresh_grid(now=True)

    def refresh_grid(self, now: bool = False) -> None:
        """Updates the bar of the grid from its folder, to which all processes write."""
        if not now and time.monotonic() - self._looked < _EVERY:
            return
        self._looked = time.monotonic()
        runs, done, failed, workers = [], 0, 0, 0
        for job in self.grid.jobs:
            seconds = [row["seconds"] for row in read(self.out / job.folder / TABLE)]
            left = max(job.run.epochs - len(seconds), 0)
            if left and failure(self.out, job) is not None:
                failed += 1
                left = 0
            elif left:
                workers += held_by_others(self.out / job.folder)
            else:
                done += 1
            runs.append((panel_name(job.config), job.curve, left, seconds))
        self.update(
            self._whole,
            completed=sum(job.run.epochs for job in self.grid.jobs) - sum(run[2] for run in runs),
            left=_shown(time_left(runs, workers)),
            metrics=f"{done} of {len(runs)} runs" + (f", {failed} failed" if failed else "")
            + (f", {workers} at work" if workers > 1 else ""),
        )  # fmt: skip


class _Left(ProgressColumn):
    """Shows our own estimate where there is one, else rich's."""

    def __init__(self) -> None:
        super().__init__()
        self._usual = TimeRemainingColumn()

    def render(self, task: Any) -> Any:
        if "left" in task.fields:
            return Text(task.fields["left"], style="progress.remaining")
        return self._usual.render(task)


def _shown(seconds: Any) -> str:
    if seconds is None:
        return ""
    minutes = seconds / 60
    if minutes < 1:
        return "< 1 min left"
    return f"about {minutes:.0f} min left" if minutes < 120 else f"about {minutes / 60:.0f} h left"


def grid_tables(report: Any) -> tuple:
    """Returns two tables: the accuracy of every net, and whether the claims hold."""
    reached = Table(title="best test accuracy", box=box.SIMPLE_HEAD, collapse_padding=True)
    for name in ("data set, net", "rule", "inputs", "seeds", "best accuracy", "gain", "epochs*"):
        reached.add_column(name)
    reached.caption = "* to the best accuracy of the plain net with the same rule"
    for row in report.rows:
        deviation = f" ± {row['best_accuracy_deviation']:.3f}" if row["seeds"] > 1 else ""
        gain, epochs = row["gain_points"], row["epochs_to_plain_best"]
        reached.add_row(
            f"{row['dataset']}, {words(row['net'])}",
            words(row["rule"]),
            words(row["inputs"]),
            str(row["seeds"]),
            f"{row['best_accuracy']:.3f}{deviation}",
            "" if gain is None or row["inputs"] == "plain" else f"{gain:+.1f}",
            "" if epochs is None else f"{epochs:.1f}",
        )
    verdicts = Table(title="claims", box=box.SIMPLE_HEAD, collapse_padding=True)
    for name in ("data set, net", "rule", "inputs", "claim", "better by", "p", "verdict"):
        verdicts.add_column(name)
    for config, claim in report.claims:
        verdicts.add_row(
            f"{config.dataset}, {words(config.net)}",
            words(claim.net.rule),
            words(claim.net.variant),
            claim.text,
            f"{claim.mean:+.1f} {claim.unit}",
            "" if claim.p is None else f"{claim.p:.2g}",
            claim.verdict,
        )
    return reached, verdicts


def grid_list(grids: Any) -> Any:
    """Returns a table of grids."""
    table = Table(box=box.SIMPLE_HEAD, collapse_padding=True)
    for name in ("grid", "what it compares", "runs"):
        table.add_column(name)
    for grid in grids:
        table.add_row(grid.name, grid.title, str(len(grid.jobs)))
    return table
