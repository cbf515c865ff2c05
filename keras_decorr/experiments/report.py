"""What the runs say: epochs and seconds to the plain net's best accuracy."""

import numpy as np


def summarise(results):
    """One row per variant over its seeds.

    Args:
        results: `{variant: {seed: rows}}` with the rows of `run.train`; the first variant is the
            plain net.

    Returns:
        `{variant: {figure: (mean, deviation)}}`. The deviation is that of the sample, 0 for one
        seed. `epochs_to_plain` counts epochs until the test accuracy of a seed is at least the best
        that the plain net had with the same seed; `None` if a seed never got there. Seconds are
        epochs times the median seconds per epoch, without the first epoch, which compiles.
    """
    plain, *_ = results
    target = {seed: max(column(rows, "test_accuracy")) for seed, rows in results[plain].items()}
    return {variant: _figures(seeds, target) for variant, seeds in results.items()}


def _figures(seeds, target):
    best, epochs, seconds, total = [], [], [], []
    for seed, rows in seeds.items():
        accuracy = column(rows, "test_accuracy")
        best.append(accuracy.max())
        reached = np.flatnonzero(accuracy >= target[seed])
        epochs.append(reached[0] + 1 if len(reached) else np.nan)
        seconds.append(epoch_seconds(rows))
        total.append(epochs[-1] * seconds[-1])
    return {
        "best_accuracy": _spread(best),
        "seconds_per_epoch": _spread(seconds),
        "epochs_to_plain": _spread(epochs),
        "seconds_to_plain": _spread(total),
        "seeds_that_reached_plain": int(np.isfinite(epochs).sum()),
        "seeds": len(epochs),
    }


def epoch_seconds(rows):
    """Median seconds per epoch; the first, which compiles, is left out if there are others."""
    seconds = column(rows, "seconds")
    return float(np.median(seconds[1:] if len(seconds) > 1 else seconds))


def column(rows, name):
    """One figure of every epoch."""
    return np.array([row[name] for row in rows])


def _spread(values):
    if not np.isfinite(values).all():
        return None
    return float(np.mean(values)), float(np.std(values, ddof=1) if len(values) > 1 else 0.0)
