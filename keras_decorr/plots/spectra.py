"""Draws the eigenvalues of the correlation of a layer's inputs, before and after M."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_decorr.plots.style import check_entries, finish, panels
from keras_decorr.typing import FilePath

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def correlation_spectra(
    spectra: Mapping[str, tuple[Any, Any]],
    path: FilePath | None = None,
    title: str = "",
    columns: int = 3,
) -> "Figure":
    """Draws eigenvalues from the largest to the smallest, relative to their mean, one panel a layer.

    White inputs have a flat line at 1.

    Args:
        spectra: `{layer: (before, after)}` with arrays of eigenvalues, in any order.
        path: File to write, such as a PNG, or `None`.
        title: Title of the figure.
        columns: The most panels in a row. Defaults to 3.

    Returns:
        The `matplotlib.figure.Figure`.

    Raises:
        ValueError: If there is no layer.

    Example:

    >>> import keras_decorr
    >>> figure = keras_decorr.plots.correlation_spectra({"hidden": ([9.0, 0.9, 0.1], [1.2, 1.0, 0.8])})
    """
    check_entries("correlation_spectra", "spectra", spectra)
    figure, axes = panels(len(spectra), columns, (3.6, 3.0))
    styles = (
        ("before M", {"color": "0.45", "linestyle": "--", "marker": "s"}),
        ("after M", {"color": "black", "linestyle": "-", "marker": "o"}),
    )
    for ax, (layer, pair) in zip(axes, spectra.items(), strict=True):
        for values, (label, style) in zip(pair, styles, strict=True):
            values = np.sort(np.asarray(values, "float64").ravel())[::-1]
            mean = values.mean() if values.size else 0.0
            # What is below float32's reach is no eigenvalue, but rounding.
            kept = values > 1e-10 * max(values.max(initial=0.0), 0.0)
            x = np.arange(1, len(values) + 1)[kept]
            every = max(len(x) // 8, 1)
            ax.semilogy(
                x, values[kept] / (mean or 1.0), label=label, markersize=4, linewidth=1.3,
                markevery=every, **style,
            )  # fmt: skip
        ax.axhline(1.0, color="black", linewidth=0.6, linestyle=":")
        ax.set_title(layer, fontsize=9)
        ax.grid(alpha=0.3)
        ax.set_xlabel("number of the eigenvalue", fontsize=8)
        ax.tick_params(labelsize=8)
    for ax in axes[::columns]:
        ax.set_ylabel("eigenvalue / mean")
    lines, labels = axes[0].get_legend_handles_labels()
    figure.legend(lines, labels, loc="outside lower center", ncols=2, handlelength=3, frameon=False)
    return finish(figure, path, title)
