"""The live table of a search."""

from typing import Any

from rich.live import Live
from rich.table import Table

from keras_decorr.cli.tasks import IMAGES, Task
from keras_decorr.cli.tune.report import best_of

_STATUS = {"completed": "done", "running": "runs", "failed": "[red]failed[/red]"}
_SHORT = {"learning_rate": "rate", "decorrelation_rate": "rate of M", "learning_rule": "rule"}
_NOT_SETTINGS = ("trial", "status", "accuracy", "loss", "epoch", "seconds", "message")


class Display(Live):
    """Shows the trials of a search while it runs, and the best of them so far.

    Args:
        console: A rich console.
        trials: Number of trials to come, or `None` where the tuner decides.
        task: What the nets learn. Defaults to the classification of images.
    """

    def __init__(self, console: Any, trials: Any = None, task: Task = IMAGES) -> None:
        super().__init__(console=console, auto_refresh=False)
        self._trials, self._task = trials, task

    def show(self, rows: list[dict]) -> None:
        """Shows the rows of `report.rows`; those of running trials may have figures, too."""
        self.update(table(rows, self._trials, self.console.height - 8, self._task), refresh=True)

    def stop(self) -> None:
        """Ends the live table and its last line, which rich ends only in a terminal."""
        shown = self.is_started
        super().stop()
        if shown and not self.console.is_terminal:
            self.console.line()


def table(
    rows: list[dict], trials: Any = None, height: int | None = None, task: Task = IMAGES
) -> Table:
    """Returns the table of trials.

    Args:
        rows: Of `report.rows`.
        trials: Number of trials to come, if it is known.
        height: Most trials to show: the last ones. Default: all.
        task: What the nets learn. Defaults to the classification of images.
    """
    ended = sum(row["status"] in ("completed", "failed") for row in rows)
    of = "" if trials is None else f" of {trials}"
    shown = Table(title=f"trials: {ended}{of} ended", caption=_best_so_far(rows, task))
    names = _settings(rows)
    for name in ("trial", *(_SHORT.get(n, n.replace("_", " ")) for n in names)):
        shown.add_column(name, justify="right")
    for name in (task.figure, "epoch", "seconds", ""):
        shown.add_column(name, justify="right")
    for row in rows if height is None else rows[-max(height, 3) :]:
        shown.add_row(
            row["trial"],
            *(_text(row.get(name)) for name in names),
            *_figures(row, task),
            _STATUS.get(row["status"], row["status"]),
        )
    return shown


def comparison(summary: dict, task: Task = IMAGES) -> Table:
    """Returns a table of the best rates, the net's default rates and the best of the plain net."""
    shown = Table(title=f"best rates (validation {task.figure})")
    for name in ("", "rate", "rate of M", "others", task.figure, "epoch", "seconds"):
        shown.add_column(name)
    for title, row in (
        ("best", summary["best"]),
        ("default rates", summary["default"]),
        ("best plain", summary["control"]),
    ):
        if row is None:
            shown.add_row(title, *[""] * 3, "failed or not trained", "", "")
            continue
        others = [
            n for n in row if n not in (*_NOT_SETTINGS, "learning_rate", "decorrelation_rate")
        ]
        shown.add_row(
            title,
            f"{row['learning_rate']:g}",
            f"{row['decorrelation_rate']:g}",
            " ".join(_text(row[name]) for name in others),
            *_figures(row, task),
        )
    return shown


def verdict(summary: dict, task: Task = IMAGES) -> str:
    """Returns a sentence that compares the best rates with the default ones."""
    best, default, gain = (summary[n] for n in ("best", "default", "gain_over_default"))
    if best is None:
        return "Every trial failed: choose lower rates."
    if default is None:
        return "The net's default rates failed, so there is nothing to compare with."
    if best["trial"] == default["trial"]:
        return "No pair that was tried does better than the net's default rates."
    gained = f"{gain:.{task.digits + 1}f} {task.unit} of validation {task.figure}"
    return f"The best rates gain {gained} over the net's default ones."


def _settings(rows: list[dict]) -> list:
    names = dict.fromkeys(name for row in rows for name in row if name not in _NOT_SETTINGS)
    # Those that no trial differs in only take room.
    rates = ("learning_rate", "decorrelation_rate")
    return [n for n in names if n in rates or len({str(r[n]) for r in rows if n in r}) > 1]


def _best_so_far(rows: list[dict], task: Task) -> str | None:
    best = best_of([row for row in rows if row["status"] == "completed"], task)
    if best is None:
        return None
    return (
        f"best: {best[task.figure]:.4f} with {best['learning_rate']:g} and, of M, "
        f"{best['decorrelation_rate']:g}"
    )


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value).replace("_", " ")


def _figures(row: Any, task: Task) -> list:
    forms = {task.figure: ".4f", "epoch": ".0f", "seconds": ".1f"}
    return ["" if row[name] is None else format(row[name], form) for name, form in forms.items()]
