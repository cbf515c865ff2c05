"""The heat map of the two rates."""

import numpy as np
import pytest

from keras_decorr import plots


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts if text.get_text()]


def ticks(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def test_every_pair_has_its_best_accuracy_and_zero_a_column(tmp_path):
    forward = [1e-3, 1e-3, 1e-4, 1e-3, 1e-4]
    decorrelation = [0.0, 1e-5, 1e-5, 1e-5, 3e-5]
    figure = plots.rate_heat_map(
        forward,
        decorrelation,
        [0.4, 0.5, np.nan, 0.6, np.nan],
        path=tmp_path / "map.png",
        title="it",
        marked=(1e-4, 3e-5),
    )
    assert figure.get_suptitle() == "it"
    axes = figure.axes[0]
    assert ticks(axes.xaxis) == ["0", "1e-05", "3e-05"]
    assert ticks(axes.yaxis) == ["0.0001", "0.001"]
    assert sorted(texts(figure)) == ["0.400", "0.600\nbest", "failed", "failed\ndefault"]
    places = axes.get_xticks()
    np.testing.assert_allclose(np.diff(places)[1], np.log10(3))  # logarithmic, and 0 stands apart
    spans = sorted({(p.get_x(), p.get_x() + p.get_width()) for p in axes.patches})
    assert spans[0][1] < spans[1][0]
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")


def test_it_reads_in_black_and_white():
    values = np.linspace(0.1, 0.9, 9)
    figure = plots.rate_heat_map(np.full(9, 1e-3), np.arange(9) * 1e-5, values)
    cells = [p for p in figure.axes[0].patches if p.get_fill()]
    colors = np.array([cell.get_facecolor()[:3] for cell in cells])
    assert np.all(np.ptp(colors, axis=1) < 0.02)  # greys
    assert np.all(np.diff(colors.mean(1)) < 0)  # the better the darker
    for text, color in zip(figure.axes[0].texts, colors, strict=True):
        letters = 1.0 if text.get_color() == "white" else 0.0
        assert abs(color.mean() - letters) > 0.35


def test_of_losses_the_lowest_is_best_and_darkest():
    figure = plots.rate_heat_map(
        [1e-3] * 3, [0.0, 1e-5, 1e-5], [2.0, 1.5, 1.7], larger_is_better=False
    )
    assert sorted(texts(figure)) == ["1.500\nbest", "2.000"]
    first, second = (np.mean(p.get_facecolor()[:3]) for p in figure.axes[0].patches if p.get_fill())
    assert first > second
    low, high = figure.axes[1].get_ylim()  # the colours' scale
    assert (low, high) == (1.5, 2.0)


def test_many_rates_share_cells(rng):
    rates = 10 ** rng.uniform(-5, -1, 200)
    figure = plots.rate_heat_map(rates, np.where(rng.random(200) < 0.2, 0, rates), rng.random(200))
    assert len(ticks(figure.axes[0].xaxis)) <= 15
    assert len(ticks(figure.axes[0].yaxis)) <= 14


@pytest.mark.parametrize("accuracy", [0.5, np.nan])
def test_a_single_trial(accuracy):
    figure = plots.rate_heat_map([1e-3], [0.0], [accuracy])
    assert texts(figure) == ["failed" if np.isnan(accuracy) else "0.500\nbest"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (([1e-3], [0.0, 1e-5], [0.5]), "one entry a trial"),
        (([], [], []), "one entry a trial"),
        (([0.0], [1e-5], [0.5]), "must be positive"),
        (([1e-3], [-1e-5], [0.5]), "not negative"),
    ],
)
def test_bad_arguments_are_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        plots.rate_heat_map(*arguments)
