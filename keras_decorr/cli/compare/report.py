"""Figures of a comparison: best scores, and epochs and seconds to the plain net's best."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from keras_decorr.cli.compare.config import Net
from keras_decorr.cli.tasks import IMAGES, Task
from keras_decorr.plots.style import mean_and_spread


def reference(nets: Iterable) -> Any:
    """Returns the net that others are compared with: the plain one with backpropagation.

    Without that one, it is the plain net of the first rule that has one, or `None`.
    """
    plain = Net("backprop", "plain")
    return plain if plain in nets else next((net for net in nets if net.variant == "plain"), None)


def summarise(results: Any, task: Task = IMAGES) -> dict:
    """Summarises the runs of each net over its seeds.

    Args:
        results: `{net: {seed: rows}}` with the rows of `run.train`, for every `Net`.
        task: What the nets learn. Defaults to the classification of images.

    Returns:
        `{net: {figure: (mean, deviation)}}`. The deviation is that of the sample, 0 for one seed.
        `best_accuracy` (of texts `best_loss`) is the best score of a seed. `epochs_to_plain` counts
        epochs until the score of a seed is at least as good as the best that the `reference` had with
        the same seed; `None` if a seed never got there. Seconds are epochs times
        the median seconds per epoch, without the first epoch, which compiles. `gain_over_plain` is the
        gain in the best score over the plain net with the same rule and seed, in the task's units.
        What would need a run that is missing is `None`.
    """
    target = _best(results.get(reference(results), {}), task)
    return {
        net: _figures(seeds, target, _best(results.get(Net(net.rule, "plain"), {}), task), task)
        for net, seeds in results.items()
    }


def by_name(summary: dict) -> dict:
    """Returns the summary with names instead of nets, as a JSON file can hold it."""
    return {net.name: {**net._asdict(), **figures} for net, figures in summary.items()}


def _best(seeds: Any, task: Task) -> dict:
    return {seed: task.best(column(rows, task.score)) for seed, rows in seeds.items()}


def _figures(seeds: Any, target: Any, plain: Any, task: Task) -> dict:
    best = _best(seeds, task)
    epochs, seconds, total = [], [], []
    for seed, rows in seeds.items():
        scores = column(rows, task.score)
        # Where the plain net has no run with the seed, nothing reaches it: NaN compares as False.
        reached = np.flatnonzero(task.reached(scores, target.get(seed, np.nan)))
        epochs.append(reached[0] + 1 if len(reached) else np.nan)
        seconds.append(epoch_seconds(rows))
        total.append(epochs[-1] * seconds[-1])
    return {
        f"best_{task.figure}": spread(list(best.values())),
        "gain_over_plain": spread(
            [task.gain(best[seed], plain[seed]) for seed in seeds if seed in plain]
        ),
        "seconds_per_epoch": spread(seconds),
        "epochs_to_plain": spread(epochs),
        "seconds_to_plain": spread(total),
        "seeds_that_reached_plain": int(np.isfinite(epochs).sum()),
        "seeds": len(epochs),
    }


def epoch_seconds(rows: list[dict]) -> float:
    """Returns the median seconds per epoch, without the first, which compiles, if there are others."""
    seconds = column(rows, "seconds")
    return float(np.median(seconds[1:] if len(seconds) > 1 else seconds))


def column(rows: list[dict], name: str) -> Any:
    """Returns an array of one figure of every epoch."""
    return np.array([row[name] for row in rows])


def spread(values: Any) -> tuple | None:
    """Returns `(mean, standard deviation)`, or `None` without values or if one is not finite."""
    if not values or not np.isfinite(values).all():
        return None
    mean, deviation = mean_and_spread(values)
    return float(mean), float(deviation)
