"""Draws learning curves against epochs and against seconds."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_decorr.plots.style import check_entries, curve_style, finish, mean_and_spread, panels
from keras_decorr.typing import FilePath

if TYPE_CHECKING:
    from matplotlib.figure import Figure


_MARKS = 20  # at most, on one curve


def learning_curves(
    curves: Mapping[str, tuple[float, Any]],
    path: FilePath | None = None,
    title: str = "",
    styles: Mapping[str, dict[str, Any]] | None = None,
    ylabel: str = "test accuracy",
) -> "Figure":
    """Draws accuracy against epochs and against seconds of training.

    Args:
        curves: `{label: (seconds_per_epoch, accuracies)}` with accuracies `(seeds, epochs)`. A line
            is their mean, an error bar one standard deviation.
        path: File to write, such as a PNG, or `None`.
        title: Title of the figure.
        styles: `{label: arguments}` of Matplotlib's `Line2D` for curves that are to look different
            from the rest, such as `{"plain": {"color": "black", "linestyle": "--"}}`.
        ylabel: What the curves show. Defaults to `"test accuracy"`.

    Returns:
        The `matplotlib.figure.Figure`.

    Raises:
        ValueError: If there is no curve.

    Example:

    >>> import keras_decorr
    >>> curves = {"plain": (2.0, [[0.3, 0.4, 0.45]]), "decorrelated": (2.3, [[0.35, 0.45, 0.5]])}
    >>> figure = keras_decorr.plots.learning_curves(curves)
    """
    check_entries("learning_curves", "curves", curves)
    figure, (by_epoch, by_second) = panels(2, 2, (6.5, 4.5), sharey=True)
    from matplotlib.ticker import MaxNLocator

    for i, (label, (seconds, accuracies)) in enumerate(curves.items()):
        mean, deviation = mean_and_spread(accuracies)
        epochs = np.arange(1, len(mean) + 1)
        style = {**curve_style(i), "markersize": 4, **(styles or {}).get(label, {})}
        every = -(-len(mean) // _MARKS)
        for axes, x in ((by_epoch, epochs), (by_second, epochs * seconds)):
            axes.errorbar(
                x, mean, deviation if len(accuracies) > 1 else None, label=label, capsize=2,
                elinewidth=0.9, markevery=every, errorevery=every, **style,
            )  # fmt: skip
    by_epoch.set(xlabel="epoch", ylabel=ylabel)
    by_epoch.xaxis.set_major_locator(MaxNLocator(integer=True))
    by_second.set(xlabel="seconds of training")
    for axes in (by_epoch, by_second):
        axes.grid(alpha=0.3)
        axes.set_xlim(left=0)
    lines, labels = by_epoch.get_legend_handles_labels()
    figure.legend(lines, labels, loc="outside right center", handlelength=3, frameon=False)
    return finish(figure, path, title)
