"""The progress bar of a comparison, and the tables at its end."""

from collections.abc import Sequence
from typing import Any

import keras
from rich import box
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.table import Table

from keras_decorr.cli.compare.figure import words
from keras_decorr.cli.compare.report import column, reference


class Bar(keras.callbacks.Callback):
    """Shows the progress of a run: a Keras callback."""

    def __init__(self, progress: Any, run: Any, batches: int) -> None:
        super().__init__()
        self.progress, self.run, self.batches, self.task = progress, run, batches, None

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if self.task is None:
            self.task = self.progress.add_task(
                self.run.title,
                total=self.batches * self.run.epochs,
                completed=self.batches * epoch,
                metrics="",
            )

    def on_train_batch_end(self, batch: Any, logs: Any = None) -> None:
        self.progress.advance(self.task)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        shown = {name: value for name, value in (logs or {}).items() if name != "skipped_updates"}
        if (logs or {}).get("skipped_updates"):
            shown["skipped_updates"] = logs["skipped_updates"]
        self.progress.update(
            self.task, metrics=" ".join(f"{name} {value:.3g}" for name, value in shown.items())
        )


class Progress(RichProgress):
    """Shows one bar for the current run: its name, its batches and its metrics."""

    bar = Bar

    def __init__(self, console: Any) -> None:
        super().__init__(
            TextColumn("{task.description}"),
            BarColumn(bar_width=12),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[metrics]}"),
            console=console,
        )

    def of(self, run: Any, config: Any, data: Any) -> Any:
        """Returns the callback that shows a run."""
        batches = config.task.batches(data, config.batch_size)
        return self.bar(self, run, batches)


def tables(config: Any, summary: dict, results: Any, rates: Any) -> tuple:
    """Returns two tables: the score after every epoch, and the cost of reaching it."""
    rules = list(dict.fromkeys(net.rule for net in summary))
    return _scores(config.task, results, rules), _costs(config, summary, rates, rules)


def _table(rules: Sequence[str], **kwargs: Any) -> Any:
    if len(rules) == 1:
        return Table(**kwargs)
    return Table(box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False, **kwargs)


def _short(net: Any, rules: Sequence[str]) -> str:
    """Returns the name of a net in a table, which may be no wider than 80 columns."""
    variant = words(net.variant)
    return variant if len(rules) == 1 else f"{_initials(net.rule)} {variant}"


def _initials(rule: Any) -> str:
    return "BP" if rule == "backprop" else "".join(w[0] for w in rule.split("_")).upper()


def _meanings(rules: Sequence[str]) -> str:
    return ", ".join(f"{_initials(rule)}: {words(rule)}" for rule in rules)


def _scores(task: Any, results: Any, rules: Sequence[str]) -> Any:
    names = [_short(net, rules) for net in results]
    table = _table(rules, title=f"{task.words}, mean over seeds")
    for name in ("epoch", *names):
        table.add_column(name)
    if len(rules) > 1:
        table.caption = _meanings(rules)
    runs = [[column(rows, task.score) for rows in s.values()] for s in results.values()]
    for epoch, values in enumerate(zip(*(sum(r) / len(r) for r in runs), strict=True), start=1):
        table.add_row(str(epoch), *map(task.shown, values))
    return table


def _costs(config: Any, summary: Any, rates: Any, rules: Sequence[str]) -> Any:
    task = config.task
    several = len(rules) > 1
    best = reference(summary)
    table = _table(
        rules,
        title="what the rules reached" if several else "what decorrelation bought",
        caption=f"rates: of {config.optimizer} ({config.schedule}), and of M\n"
        f"gain: in {task.unit}, over plain with the same rule\n"
        f"* to the best {task.figure} of {_short(best, rules)} with the same seed",
    )
    for name in ("net", "rates", f"best {task.figure}", "gain", "s / epoch", "epochs*", "seconds*"):
        table.add_column(name)
    for net, figures in summary.items():
        table.add_row(
            _short(net, rules),
            " ".join(f"{rate:g}" for rate in rates[net] if rate is not None),
            _shown(figures[f"best_{task.figure}"], 4),
            "" if net.variant == "plain" else _shown(figures["gain_over_plain"], task.digits),
            _shown(figures["seconds_per_epoch"], 2),
            *(_relative(figures, summary[best], f"{x}_to_plain") for x in ("epochs", "seconds")),
        )
    return table


def _shown(value: Any, digits: int) -> Any:
    if value is None:  # it has diverged
        return ""
    mean, deviation = value
    return f"{mean:.{digits}f} ± {deviation:.{digits}f}" if deviation else f"{mean:.{digits}f}"


def _relative(figures: dict, plain: Any, name: str) -> str:
    if figures[name] is None:
        return f"by {figures['seeds_that_reached_plain']} of {figures['seeds']} seeds"
    share = figures[name][0] / plain[name][0]
    return f"{_shown(figures[name], 1)} ({share:.0%})"
