"""Draws a figure of several panels, one for each experiment, with error bars."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_decorr.plots.style import empty_figure, finish, mean_and_spread
from keras_decorr.typing import FilePath

if TYPE_CHECKING:
    from matplotlib.figure import Figure


_BARS = 10  # at most, on one curve


def panels(
    curves: Mapping[tuple[str, str], Mapping[str, tuple[float, Any]]],
    path: FilePath | None = None,
    title: str = "",
    styles: Mapping[str, dict[str, Any]] | None = None,
    seconds: bool = False,
) -> "Figure":
    """Draws test accuracy against epochs, or against seconds of training, in rows and columns.

    Args:
        curves: `{(row, column): {label: (seconds_per_epoch, accuracies)}}`, the names of the rows and
            the columns of panels; accuracies are lists over seeds of lists over epochs. A line is their
            mean, an error bar one standard deviation of the sample.
        path: File to write, such as a PNG, or `None`.
        title: Title of the figure.
        styles: `{label: arguments}` of Matplotlib's `Line2D`.
        seconds: Draw against seconds instead of epochs.

    Returns:
        The `matplotlib.figure.Figure`.

    Raises:
        ValueError: If there is no panel.

    Example:

    >>> import keras_decorr
    >>> curves = {"plain": (2.0, [[0.3, 0.4]]), "monarch": (2.3, [[0.35, 0.45]])}
    >>> figure = keras_decorr.plots.panels({("backprop", "dense"): curves})
    """
    if not curves:
        raise ValueError(f"Argument `curves` must have at least one panel. Received: {curves!r}")
    rows, columns = (list(dict.fromkeys(place[axis] for place in curves)) for axis in (0, 1))
    figure = empty_figure((3.8 * len(columns) + 3, 2.9 * len(rows) + 0.8))
    from matplotlib.ticker import MaxNLocator

    grid = figure.subplots(len(rows), len(columns), squeeze=False)
    labels: dict = {}
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            axes = grid[i][j]
            for label, (per_epoch, accuracies) in curves.get((row, column), {}).items():
                labels.setdefault(label, _curve(axes, per_epoch if seconds else None, accuracies,
                                                (styles or {}).get(label, {})))  # fmt: skip
            if not curves.get((row, column)):  # none of its runs came to an end
                axes.set_axis_off()
            axes.set(title=f"{column}, {row}" if len(curves) > 1 else "")
            axes.grid(alpha=0.3)
            axes.set_xlim(left=0)
            if not seconds:
                axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        grid[i][0].set_ylabel("test accuracy")
    for axes in grid[-1]:
        axes.set_xlabel("seconds of training" if seconds else "epoch")
    figure.legend(
        labels.values(), labels, loc="outside right center", handlelength=3, frameon=False
    )
    return finish(figure, path, title)


def _curve(axes: Any, per_epoch: float | None, accuracies: Any, style: Any) -> Any:
    mean, deviation = mean_and_spread(accuracies)
    epochs = np.arange(1, len(mean) + 1)
    every = -(-len(mean) // _BARS)
    return axes.errorbar(
        epochs if per_epoch is None else per_epoch * epochs,
        mean,
        yerr=deviation if len(accuracies) > 1 else None,
        errorevery=every,
        markevery=every,
        capsize=2,
        **{"marker": "o", "markersize": 4, "linewidth": 1.3, **style},
    )
