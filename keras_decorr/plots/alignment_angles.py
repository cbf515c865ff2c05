"""Draws angles between updates, layer by layer."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_decorr.plots.style import GREYS, HATCHES, check_entries, finish, mean_and_spread, panels
from keras_decorr.typing import FilePath

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def alignment_angles(
    angles: Mapping[str, Mapping[str, Mapping[str, Any]]],
    path: FilePath | None = None,
    title: str = "",
    columns: int = 3,
    ylabel: str = "angle to the update (degrees)",
) -> "Figure":
    """Draws angles as bars, a group for each layer and a bar in it for each net.

    Bars are means, with the standard deviation where there are several values. Below 90 degrees, the
    line across, an update lowers the loss. Nets that share no name of a layer, as two that were built
    one after the other, are matched layer by layer, in order, if they have as many.

    Args:
        angles: `{panel: {net: {layer: values}}}` with angles in degrees, one or one for each seed. NaN
            is left out.
        path: File to write, such as a PNG, or `None`.
        title: Title of the figure.
        columns: The most panels in a row. Defaults to 3.
        ylabel: What was measured.

    Returns:
        The `matplotlib.figure.Figure`.

    Raises:
        ValueError: If there is nothing to draw.

    Example:

    >>> import keras_decorr
    >>> found = {"plain": {"1": [81.0, 83.0], "2": [80.0]}, "monarch": {"1": [60.0], "2": [48.0]}}
    >>> figure = keras_decorr.plots.alignment_angles({"to the natural gradient": found})
    """
    check_entries("alignment_angles", "angles", angles)
    figure, axes = panels(len(angles), columns, (3.4, 2.7), sharey=True)
    top, entries = 90.0, {}
    for ax, (panel, nets) in zip(axes, angles.items(), strict=True):
        check_entries("alignment_angles", f"angles[{panel!r}]", nets)
        nets = _matched(nets)
        layers = list(dict.fromkeys(layer for of_net in nets.values() for layer in of_net))
        width = 0.8 / len(nets)
        for i, (net, of_net) in enumerate(nets.items()):
            values = [
                np.ravel(np.asarray(of_net.get(layer, np.nan), "float64")) for layer in layers
            ]
            values = [v[np.isfinite(v)] for v in values]
            found = [mean_and_spread(v) if v.size else (np.nan, 0.0) for v in values]
            means, errors = np.array(found).T
            top = max(top, np.nanmax(means, initial=0.0))
            entries[net] = ax.bar(
                np.arange(len(layers)) + (i - (len(nets) - 1) / 2) * width,
                means, width, label=net, color=GREYS[i % len(GREYS)], edgecolor="black",
                linewidth=0.8, hatch=HATCHES[i % len(HATCHES)],
                yerr=errors if errors.any() else None, capsize=2,
            )  # fmt: skip
        ax.axhline(90.0, color="black", linewidth=0.8, linestyle="--")
        ax.set_xticks(range(len(layers)), layers, fontsize=8)
        ax.tick_params(axis="x", rotation=30 if max(map(len, map(str, layers))) > 8 else 0)
        ax.set_title(panel, fontsize=9)
        ax.grid(axis="y", alpha=0.3)
        ax.set_axisbelow(True)
    axes[0].set_ylim(0.0, 1.06 * top)
    figure.supylabel(ylabel, fontsize=10)
    figure.legend(
        list(entries.values()), list(entries), loc="outside lower center", ncols=len(entries),
        handlelength=2.5, handleheight=1.2, frameon=False,
    )  # fmt: skip
    return finish(figure, path, title)


def _matched(nets: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Mapping[str, Any]]:
    """Numbers the layers if the nets share no name and have equally many layers."""
    together = {layer for of_net in nets.values() for layer in of_net}
    counts = [len(of_net) for of_net in nets.values()]
    if len(nets) == 1 or len(set(counts)) > 1 or len(together) < sum(counts):
        return nets
    return {
        net: {f"layer {i}": values for i, values in enumerate(of_net.values(), 1)}
        for net, of_net in nets.items()
    }
