"""Learning curves against epochs and against seconds."""

from pathlib import Path

import numpy as np


def learning_curves(curves, path, title=""):
    """Draw test accuracy against epochs and against seconds of training, to a PNG.

    Args:
        curves: `{label: (seconds_per_epoch, accuracies)}` with accuracies `(seeds, epochs)`. A line
            is their mean, the band around it one standard deviation.
        path: File to write.
        title: Title of the figure.

    Returns:
        The path.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    FigureCanvasAgg(figure)
    by_epoch, by_second = figure.subplots(1, 2, sharey=True)
    for label, (seconds, accuracies) in curves.items():
        accuracies = np.asarray(accuracies)
        mean, deviation = accuracies.mean(0), accuracies.std(0)
        epochs = np.arange(1, len(mean) + 1)
        for axes, x in ((by_epoch, epochs), (by_second, epochs * seconds)):
            axes.plot(x, mean, marker=".", label=label)
            axes.fill_between(x, mean - deviation, mean + deviation, alpha=0.2)
    by_epoch.set(xlabel="epoch", ylabel="test accuracy")
    by_second.set(xlabel="seconds of training")
    by_epoch.legend()
    for axes in (by_epoch, by_second):
        axes.grid(alpha=0.3)
        axes.set_xlim(left=0)
    figure.suptitle(title)
    figure.savefig(path, dpi=120)
    return Path(path)
