"""Draws accuracy against the forward rate and the decorrelation rate."""

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_decorr.plots.style import empty_figure, finish
from keras_decorr.typing import FilePath

if TYPE_CHECKING:
    from matplotlib.figure import Figure


_MOST = 14  # cells along an axis; more rates than that are gathered
_GAP = 0.35  # between the cells with and without decorrelation, in cells


def rate_heat_map(
    learning_rates: Any,
    decorrelation_rates: Any,
    accuracies: Any,
    path: FilePath | None = None,
    title: str = "",
    label: str = "accuracy",
    marked: tuple[float, float] | None = None,
    larger_is_better: bool = True,
) -> "Figure":
    """Draws the best accuracy, or another figure, of every pair of rates, on logarithmic axes.

    A decorrelation rate of 0, the control, has a column of its own. The accuracy stands in every cell,
    so that the map reads in black and white, too. The best pair has a thick frame; pairs that only
    failed are hatched; those without a trial are empty. Where there are more than 14 rates, as of a
    search that draws them from a continuous range, neighbours share a cell.

    Args:
        learning_rates: `(trials,)` positive forward rates.
        decorrelation_rates: `(trials,)` decorrelation rates, 0 for none.
        accuracies: `(trials,)` accuracies; NaN for a trial that failed.
        path: File to write, such as a PNG, or `None`.
        title: Title of the figure.
        label: What the accuracies are.
        marked: `(learning_rate, decorrelation_rate)` of the default, which gets a thin frame. Where no
            trial has such a rate, the nearest cell gets it.
        larger_is_better: Whether the largest figure is the best. Defaults to True; of a loss, False.

    Returns:
        The `matplotlib.figure.Figure`.

    Raises:
        ValueError: If the arrays differ in their lengths, or a rate is negative, or a forward rate 0.

    Example:

    >>> import keras_decorr
    >>> figure = keras_decorr.plots.rate_heat_map([1e-4, 1e-3, 1e-3], [0, 0, 1e-5], [0.4, 0.5, 0.6])
    """
    arrays = [np.asarray(a, "float64") for a in (learning_rates, decorrelation_rates, accuracies)]
    forward, decorrelation, accuracy = arrays
    if len({a.shape for a in arrays}) > 1 or forward.ndim != 1 or not len(forward):
        raise ValueError(
            "Arguments `learning_rates`, `decorrelation_rates` and `accuracies` must have one entry a "
            f"trial. Received: shapes {[a.shape for a in arrays]}"
        )
    if not (np.all(forward > 0) and np.all(decorrelation >= 0)):
        raise ValueError(
            "Arguments `learning_rates` must be positive and `decorrelation_rates` not negative. "
            f"Received: learning_rates={forward}, decorrelation_rates={decorrelation}"
        )
    rows, columns = _Axis(forward), _Axis(decorrelation)
    sign = 1 if larger_is_better else -1
    best = _best(rows.cells_of(forward), columns.cells_of(decorrelation), sign * accuracy)
    return finish(_draw(rows, columns, best, sign, label, marked), path, title)


class _Axis:
    """Lays out the cells of a logarithmic axis: 0 first, then the rates in ascending order."""

    def __init__(self, rates: np.ndarray) -> None:
        positive = np.unique(rates[rates > 0])
        if len(positive) > _MOST:
            edges = np.geomspace(positive[0], positive[-1], _MOST + 1)
            cells = np.clip(np.searchsorted(edges, positive, side="right") - 1, 0, _MOST - 1)
            positive = np.sqrt(edges[:-1] * edges[1:])[np.unique(cells)]
        self.zero = bool(np.any(rates == 0))
        self.rates = positive
        centres = np.log10(positive)
        middles = (centres[1:] + centres[:-1]) / 2
        half = np.diff(centres).min() / 2 if len(centres) > 1 else 0.25
        ends = [centres[:1] - half, middles, centres[-1:] + half]
        edges = np.concatenate(ends) if len(centres) else np.zeros(1)
        self.spans = list(itertools.pairwise(edges))
        if self.zero:
            start = edges[0] - 2 * half * (1 + _GAP)
            self.spans.insert(0, (start, start + 2 * half))

    def cells_of(self, rates: np.ndarray) -> np.ndarray:
        """Returns the index of the cell of each rate."""
        if not len(self.rates):
            return np.zeros(len(rates), int)
        with np.errstate(divide="ignore"):
            distance = np.abs(np.log10(rates)[:, None] - np.log10(self.rates))
        return np.where(rates == 0, 0, distance.argmin(1) + self.zero)

    @property
    def centres(self) -> list[float]:
        """Returns the positions of the ticks."""
        return [(low + high) / 2 for low, high in self.spans]

    @property
    def labels(self) -> list[str]:
        """Returns the labels of the ticks."""
        return ["0"] * self.zero + [f"{rate:.2g}" for rate in self.rates]


def _best(
    rows: np.ndarray, columns: np.ndarray, accuracy: np.ndarray
) -> dict[tuple[int, int], float]:
    """Returns `{(row, column): highest value}`, NaN where all trials failed."""
    best: dict = {}
    for place in zip(rows.tolist(), columns.tolist(), accuracy, strict=True):
        cell, value = place[:2], place[2]
        best[cell] = np.fmax(best.get(cell, np.nan), value)
    return best


def _draw(
    rows: Any,
    columns: Any,
    best: dict[tuple[int, int], float],
    sign: int,
    label: str,
    marked: tuple[float, float] | None,
) -> "Figure":
    width, height = 2.2 + 0.85 * len(columns.spans), 1.6 + 0.55 * len(rows.spans)
    figure = empty_figure((max(width, 5), max(height, 3)))
    import matplotlib
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize

    axes = figure.subplots()
    known = [sign * value for value in best.values() if np.isfinite(value)]
    # From light to dark grey: neither the paper's white nor the frames' black.
    shades = np.linspace(0.08, 0.7, 256)[::sign]
    greys = ListedColormap(matplotlib.colormaps["Greys"](shades))
    colors: Any = ScalarMappable(Normalize(min(known, default=0.0), max(known, default=1.0)), greys)
    cells = _Cells(axes, rows, columns)
    notes = _notes(rows, columns, best, marked)
    for cell in itertools.product(range(len(rows.spans)), range(len(columns.spans))):
        value, note = best.get(cell), notes.get(cell, "")
        if value is None:
            cells.fill(cell, "white", edgecolor="0.8", linestyle=":")
            cells.write(cell, note, "black")
        elif np.isnan(value):
            cells.fill(cell, "white", hatch="////", edgecolor="0.5")
            cells.write(cell, f"failed\n{note}".strip(), "black", background="white")
        else:
            color = colors.to_rgba(sign * value)
            cells.fill(cell, color, edgecolor="0.4")
            text = "white" if np.mean(color[:3]) < 0.55 else "black"
            cells.write(cell, f"{sign * value:.3f}\n{note}".strip(), text)
    for cell, note in notes.items():
        cells.frame(cell, 3 if "best" in note else 1.5)
    for axis, named in ((axes.xaxis, columns), (axes.yaxis, rows)):
        axis.set_ticks(named.centres, named.labels)
        axis.set_tick_params(length=0)
    axes.set(xlabel="decorrelation rate (0: without)", ylabel="forward rate")
    axes.autoscale_view()
    for side in axes.spines.values():
        side.set_visible(False)
    figure.colorbar(colors, ax=axes, label=label)
    return figure


def _notes(
    rows: Any, columns: Any, best: dict[tuple[int, int], float], marked: tuple[float, float] | None
) -> dict[tuple[int, int], str]:
    """Returns `{(row, column): text below the accuracy}`."""
    notes: dict = {}
    if any(np.isfinite(value) for value in best.values()):
        top = max(best, key=lambda cell: np.nan_to_num(best[cell], nan=-np.inf))
        notes[top] = "best"
    if marked is not None:
        row, column = (
            axis.cells_of(np.array([rate], "float64"))[0]
            for axis, rate in zip((rows, columns), marked, strict=True)
        )
        cell = int(row), int(column)
        notes[cell] = "best, default" if cell in notes else "default"
    return notes


class _Cells:
    """Draws the cells of two axes."""

    def __init__(self, axes: Any, rows: Any, columns: Any) -> None:
        self._axes, self._rows, self._columns = axes, rows, columns

    def _add(self, cell: tuple[int, int], **style: Any) -> None:
        from matplotlib.patches import Rectangle

        (bottom, top), (left, right) = self._rows.spans[cell[0]], self._columns.spans[cell[1]]
        patch = Rectangle((left, bottom), right - left, top - bottom, clip_on=False, **style)
        self._axes.add_patch(patch)

    def fill(self, cell: tuple[int, int], color: Any, **style: Any) -> None:
        self._add(cell, facecolor=color, linewidth=0.6, **style)

    def frame(self, cell: tuple[int, int], width: float) -> None:
        self._add(cell, fill=False, edgecolor="black", linewidth=width, zorder=4)

    def write(
        self, cell: tuple[int, int], text: str, color: Any, background: str | None = None
    ) -> None:
        box = background and {"facecolor": background, "edgecolor": "none", "pad": 1}
        x, y = self._columns.centres[cell[1]], self._rows.centres[cell[0]]
        self._axes.text(x, y, text, color=color, bbox=box, ha="center", va="center", fontsize=8.5)
