"""Live progress of a comparison, and the table at its end."""

import keras
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.table import Table

from keras_decorr.experiments.report import column


class Progress(RichProgress):
    """One bar for the run in hand: its name, its batches and its metrics."""

    def __init__(self, console):
        super().__init__(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[metrics]}"),
            console=console,
        )

    def of(self, run, config, images):
        """The Keras callback that shows a run."""
        batches = -(-len(images.x_train) // config.batch_size)
        return _Bar(self, run, batches)


class _Bar(keras.callbacks.Callback):
    def __init__(self, progress, run, batches):
        super().__init__()
        self.progress, self.run, self.batches, self.task = progress, run, batches, None

    def on_epoch_begin(self, epoch, logs=None):
        if self.task is None:
            self.task = self.progress.add_task(
                self.run.name,
                total=self.batches * self.run.epochs,
                completed=self.batches * epoch,
                metrics="",
            )

    def on_train_batch_end(self, batch, logs=None):
        self.progress.advance(self.task)

    def on_epoch_end(self, epoch, logs=None):
        shown = {name: value for name, value in (logs or {}).items() if name != "skipped_updates"}
        if (logs or {}).get("skipped_updates"):
            shown["skipped_updates"] = logs["skipped_updates"]
        self.progress.update(
            self.task, metrics=" ".join(f"{name} {value:.3g}" for name, value in shown.items())
        )


def tables(summary, results, rates):
    """Two tables: test accuracy after every epoch, and what it cost."""
    accuracy = Table("epoch", *summary, title="test accuracy (mean over seeds)")
    runs = {v: [column(rows, "test_accuracy") for rows in s.values()] for v, s in results.items()}
    for epoch, values in enumerate(
        zip(*(sum(r) / len(r) for r in runs.values()), strict=True), start=1
    ):
        accuracy.add_row(str(epoch), *(f"{value:.4f}" for value in values))
    plain = summary[next(iter(summary))]
    costs = Table(
        "net",
        "rate",
        "best accuracy",
        "s / epoch",
        "epochs*",
        "seconds*",
        title="what decorrelation bought",
        caption="* to the plain net's best accuracy of the same seed",
    )
    for variant, figures in summary.items():
        costs.add_row(
            variant,
            f"{rates[variant]:g}",
            _shown(figures["best_accuracy"], 4),
            _shown(figures["seconds_per_epoch"], 2),
            *(_relative(figures, plain, name) for name in ("epochs_to_plain", "seconds_to_plain")),
        )
    return accuracy, costs


def _shown(value, digits):
    mean, deviation = value
    return f"{mean:.{digits}f} ± {deviation:.{digits}f}" if deviation else f"{mean:.{digits}f}"


def _relative(figures, plain, name):
    if figures[name] is None:
        return f"reached by {figures['seeds_that_reached_plain']} of {figures['seeds']} seeds"
    share = figures[name][0] / plain[name][0]
    return f"{_shown(figures[name], 1)} ({share:.0%})"
