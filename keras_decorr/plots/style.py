"""Styles and helpers that the plots share. Curves and bars differ without colour, too."""

import functools
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_decorr.extras import check_installed
from keras_decorr.typing import FilePath

if TYPE_CHECKING:
    from matplotlib.figure import Figure


# M. Okabe and K. Ito's colours, which the colour-blind can tell apart, and a grey.
COLORS = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#808080",
)  # fmt: skip
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES = ("-", "--", ":", "-.")
# From light to dark, so that neighbours differ in print.
GREYS = ("#FFFFFF", "#B0B0B0", "#606060", "#E0E0E0", "#888888", "#303030")
HATCHES = ("", "//", "..", "xx", "\\\\", "")
DPI = 120


def panels(
    count: int, columns: int, size: tuple[float, float], **kwargs: Any
) -> tuple["Figure", list[Any]]:
    """Makes a figure with a grid of `count` axes.

    Args:
        count: Number of axes.
        columns: The most in a row.
        size: `(width, height)` of each, in inches.
        **kwargs: Those of `Figure.subplots`.

    Returns:
        `(figure, axes)`, the axes as a list.
    """
    columns = max(min(columns, count), 1)
    rows = -(-count // columns)
    figure = empty_figure((size[0] * columns, size[1] * rows))
    axes = figure.subplots(rows, columns, squeeze=False, **kwargs).ravel()
    for extra in axes[count:]:
        extra.remove()
    return figure, list(axes[:count])


def empty_figure(size: tuple[float, float]) -> "Figure":
    """Makes a figure of `(width, height)` inches without a window.

    It asks for Matplotlib: plots make their figure before they import anything of it.

    Raises:
        ImportError: If Matplotlib is not installed; the message names the extra.
    """
    figure: Figure = _figure_class()(figsize=size, layout="constrained")
    return figure


@functools.cache
def _figure_class() -> Any:
    check_installed("keras_decorr.plots", plots=("matplotlib",))
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    class ShownFigure(Figure):
        """Shows itself in a notebook, even one that has not imported pyplot."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            FigureCanvasAgg(self)

        def _repr_png_(self) -> bytes:
            image = io.BytesIO()
            self.savefig(image, format="png", dpi=DPI)
            return image.getvalue()

    return ShownFigure


def finish(figure: "Figure", path: FilePath | None, title: str) -> "Figure":
    """Gives a figure its title, saves it if there is a path, and returns it."""
    if title:
        figure.suptitle(title)
    if path is not None:
        figure.savefig(Path(path), dpi=DPI)
    return figure


def curve_style(i: int) -> dict[str, Any]:
    """Returns arguments of Matplotlib's `Line2D` for curve number `i` of a figure."""
    return {
        "color": COLORS[i % len(COLORS)],
        "marker": MARKERS[i % len(MARKERS)],
        "linestyle": DASHES[(i + i // len(COLORS)) % len(DASHES)],
        "linewidth": 1.3,
    }


def mean_and_spread(values: Any) -> tuple[Any, Any]:
    """Computes mean and standard deviation of the sample over the first axis; 0 for one value."""
    values = np.asarray(values, "float64")
    mean = values.mean(0)
    return mean, values.std(0, ddof=1) if len(values) > 1 else np.zeros_like(mean)


def check_entries(owner: str, name: str, entries: Any) -> Any:
    """Raises an error unless there is something to draw.

    Raises:
        ValueError: If `entries` is no dictionary, or empty.
    """
    if not isinstance(entries, dict) or not entries:
        raise ValueError(
            f"Argument `{name}` of {owner} must be a dictionary with an entry for each thing to draw. "
            f"Received: {entries!r}"
        )
    return entries
