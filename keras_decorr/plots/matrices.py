"""Draws matrices in grey: the correlations of a layer's inputs, and its M."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_decorr.plots.style import check_entries, finish, panels
from keras_decorr.typing import FilePath

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def correlation_matrices(
    matrices: Mapping[str, tuple[Any, Any]], path: FilePath | None = None, title: str = ""
) -> "Figure":
    """Draws the correlation of a layer's inputs before and after M, a row for each layer.

    Shown is `|C_ij| / sqrt(C_ii C_jj)`, so that scales do not hide the structure: white is none, black
    is 1. A feature that is constant has no correlation.

    Args:
        matrices: `{layer: (before, after)}` with arrays `C` of `(n, n)`.
        path: File to write, such as a PNG, or `None`.
        title: Title of the figure.

    Returns:
        The `matplotlib.figure.Figure`.

    Raises:
        ValueError: If there is no layer, or a matrix is not square.

    Example:

    >>> import numpy as np, keras_decorr
    >>> before, after = np.array([[1.0, 0.8], [0.8, 1.0]]), np.eye(2)
    >>> figure = keras_decorr.plots.correlation_matrices({"hidden": (before, after)})
    """
    check_entries("correlation_matrices", "matrices", matrices)
    figure, axes = panels(2 * len(matrices), 2, (3.4, 3.1))
    for row, (layer, pair) in enumerate(matrices.items()):
        for column, C in enumerate(pair):
            C = _square("correlation_matrices", layer, C)
            scale = np.sqrt(np.maximum(np.diag(C), 0.0))
            with np.errstate(divide="ignore", invalid="ignore"):
                r = np.abs(C) / np.outer(scale, scale)
            ax = axes[2 * row + column]
            _Image(ax, np.where(np.isfinite(r), r, 0.0)).draw("Greys", vmin=0.0, vmax=1.0)
            off = r[~np.eye(len(r), dtype=bool) & np.isfinite(r)]
            mean = f", mean off the diagonal {off.mean():.3f}" if off.size else ""
            ax.set_title(f"{('before M', 'after M')[column]}{mean}", fontsize=9)
            ax.set_ylabel(layer if column == 0 else "")
    figure.colorbar(axes[0].images[0], ax=axes, label="correlation, magnitude", shrink=0.7)
    return finish(figure, path, title)


def decorrelation_matrices(
    matrices: Mapping[str, Any], path: FilePath | None = None, title: str = "", columns: int = 3
) -> "Figure":
    """Draws M, one picture for each layer: the magnitude of its elements on a logarithmic scale.

    Args:
        matrices: `{layer: M}` with arrays of `(n, n)`.
        path: File to write, such as a PNG, or `None`.
        title: Title of the figure.
        columns: The most pictures in a row. Defaults to 3.

    Returns:
        The `matplotlib.figure.Figure`.

    Raises:
        ValueError: If there is no layer, or a matrix is not square.

    Example:

    >>> import numpy as np, keras_decorr
    >>> figure = keras_decorr.plots.decorrelation_matrices({"hidden": np.eye(4) - 0.1})
    """
    check_entries("decorrelation_matrices", "matrices", matrices)
    magnitudes = {
        layer: np.abs(_square("decorrelation_matrices", layer, M)) for layer, M in matrices.items()
    }
    top = max((m[np.isfinite(m)].max(initial=0.0) for m in magnitudes.values()), default=0.0) or 1.0
    figure, axes = panels(len(matrices), columns, (3.4, 3.1))
    from matplotlib.colors import LogNorm

    norm = LogNorm(1e-4 * top, top, clip=True)
    for ax, (layer, m) in zip(axes, magnitudes.items(), strict=True):
        _Image(ax, np.where(np.isfinite(m), m, top)).draw("Greys", norm=norm)
        ax.set_title(layer, fontsize=9)
    figure.colorbar(axes[0].images[0], ax=axes, label="$|M_{ij}|$", shrink=0.7)
    return finish(figure, path, title)


class _Image:
    """Draws a matrix as at most `most` pixels a side: of a larger one, the maximum of each cell."""

    most = 400

    def __init__(self, axes: Any, values: Any) -> None:
        self.axes, self.n = axes, len(values)
        cell = -(-self.n // self.most)
        edges = np.arange(0, self.n, cell)
        values = np.maximum.reduceat(np.maximum.reduceat(values, edges, 0), edges, 1)
        self.values = values

    def draw(self, cmap: str, **kwargs: Any) -> None:
        extent = (0.5, self.n + 0.5, self.n + 0.5, 0.5)
        self.axes.imshow(self.values, cmap=cmap, extent=extent, interpolation="nearest", **kwargs)
        self.axes.tick_params(labelsize=7)
        self.axes.locator_params(integer=True, nbins=4)


def _square(owner: str, layer: str, matrix: Any) -> np.ndarray:
    array = np.asarray(matrix, "float64")
    if array.ndim != 2 or array.shape[0] != array.shape[1] or not array.size:
        raise ValueError(
            f"{owner} needs square matrices. Received: shape {array.shape} for {layer!r}"
        )
    return array
