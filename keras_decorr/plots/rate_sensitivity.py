"""Draws accuracy against the decorrelation rate."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from keras_decorr.plots.style import check_entries, curve_style, finish, mean_and_spread, panels
from keras_decorr.typing import FilePath

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def rate_sensitivity(
    accuracies: Mapping[str, Mapping[float, Any]],
    path: FilePath | None = None,
    title: str = "",
    baseline: Any = None,
    ylabel: str = "test accuracy",
    xlabel: str | None = None,
) -> "Figure":
    """Draws accuracy against decorrelation rate, mean and standard deviation over seeds.

    Args:
        accuracies: `{label: {rate: values}}` with the accuracy of every seed at each positive rate.
        path: File to write, such as a PNG, or `None`.
        title: Title of the figure.
        baseline: Accuracies of the net without decorrelation, one a seed, for a line across; or `None`.
        ylabel: What was measured. Defaults to `"test accuracy"`.
        xlabel: Name of the rate. Defaults to the decorrelation rate.

    Returns:
        The `matplotlib.figure.Figure`.

    Raises:
        ValueError: If there is nothing to draw, or a rate is not positive.

    Example:

    >>> import keras_decorr
    >>> found = {"monarch": {1e-5: [0.51, 0.52], 1e-4: [0.54, 0.53], 1e-3: [0.47, 0.50]}}
    >>> figure = keras_decorr.plots.rate_sensitivity(found, baseline=[0.50, 0.51])
    """
    check_entries("rate_sensitivity", "accuracies", accuracies)
    figure, (axes,) = panels(1, 1, (6.0, 4.2))
    for i, (label, by_rate) in enumerate(accuracies.items()):
        rates = sorted(check_entries("rate_sensitivity", f"accuracies[{label!r}]", by_rate))
        if rates[0] <= 0:
            raise ValueError(
                "rate_sensitivity needs positive rates, as the axis is logarithmic; give a rate of 0 "
                f"as `baseline`. Received: {rates[0]!r} for {label!r}"
            )
        means, spreads = zip(*(mean_and_spread(by_rate[rate]) for rate in rates), strict=True)
        axes.errorbar(rates, means, spreads, label=label, capsize=3, markersize=5, **curve_style(i))
    if baseline is not None:
        mean, deviation = mean_and_spread(baseline)
        axes.axhline(mean, color="black", linewidth=1.0, linestyle=(0, (6, 4)), label="without")
        axes.axhspan(mean - deviation, mean + deviation, color="0.85", zorder=0)
    axes.set_xscale("log")
    axes.set(xlabel=xlabel or r"decorrelation rate $\eta_M$", ylabel=ylabel)
    axes.grid(alpha=0.3)
    axes.legend(handlelength=3, frameon=False)
    return finish(figure, path, title)
