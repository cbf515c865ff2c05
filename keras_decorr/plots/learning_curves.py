"""Learning curves against epochs and against seconds."""

from pathlib import Path

import numpy as np

_MARKS = 20  # at most, on one curve


def learning_curves(curves, path, title="", styles=None):
    """Draw test accuracy against epochs and against seconds of training, to a PNG.

    Args:
        curves: `{label: (seconds_per_epoch, accuracies)}` with accuracies `(seeds, epochs)`. A line
            is their mean, the band around it one standard deviation.
        path: File to write.
        title: Title of the figure.
        styles: `{label: arguments}` of Matplotlib's `Line2D` for curves that are to look different
            from the rest, such as `{"plain": {"color": "black", "linestyle": "--"}}`.

    Returns:
        The path.

    Example:

    >>> import keras_decorr
    >>> curves = {"plain": (2.0, [[0.3, 0.4, 0.45]]), "decorrelated": (2.3, [[0.35, 0.45, 0.5]])}
    >>> keras_decorr.plots.learning_curves(curves, "curves.png").name
    'curves.png'
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(13, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    by_epoch, by_second = figure.subplots(1, 2, sharey=True)
    for label, (seconds, accuracies) in curves.items():
        accuracies = np.asarray(accuracies)
        mean, deviation = accuracies.mean(0), accuracies.std(0)
        epochs = np.arange(1, len(mean) + 1)
        style = {"marker": "o", "markersize": 4, "linewidth": 1.3, **(styles or {}).get(label, {})}
        for axes, x in ((by_epoch, epochs), (by_second, epochs * seconds)):
            (line,) = axes.plot(
                x, mean, label=label, markevery=-(-len(mean) // _MARKS), zorder=3, **style
            )
            axes.fill_between(
                x,
                mean - deviation,
                mean + deviation,
                alpha=0.15,
                linewidth=0,
                color=line.get_color(),
            )
    by_epoch.set(xlabel="epoch", ylabel="test accuracy")
    by_epoch.xaxis.set_major_locator(MaxNLocator(integer=True))
    by_second.set(xlabel="seconds of training")
    for axes in (by_epoch, by_second):
        axes.grid(alpha=0.3)
        axes.set_xlim(left=0)
    lines, labels = by_epoch.get_legend_handles_labels()
    figure.legend(lines, labels, loc="outside right center", handlelength=3, frameon=False)
    figure.suptitle(title)
    figure.savefig(path, dpi=120)
    return Path(path)
