"""The figure of panels, by what is in it."""

import matplotlib.figure
import numpy as np
import pytest

from keras_decorr import plots

SEEDS = [[0.1, 0.3, 0.4], [0.3, 0.5, 0.8]]


@pytest.fixture
def drawn(monkeypatch):
    """The axes of every figure that is saved."""
    figures = []
    save = matplotlib.figure.Figure.savefig
    monkeypatch.setattr(
        matplotlib.figure.Figure,
        "savefig",
        lambda self, *args, **kwargs: figures.append(self) or save(self, *args, **kwargs),
    )
    return figures


@pytest.mark.parametrize("seconds", [False, True])
def test_means_and_deviations_of_every_panel(drawn, tmp_path, seconds):
    curves = {
        ("dense", "cifar10"): {"plain": (2.0, SEEDS), "full": (3.0, SEEDS[:1])},
        ("dense", "cifar100"): {"plain": (2.0, SEEDS)},
        ("conv", "cifar10"): {"full": (3.0, SEEDS)},
    }
    path = tmp_path / "a.png"
    plots.panels(curves, path, "T", seconds=seconds)
    assert path.read_bytes().startswith(b"\x89PNG")
    (figure,) = drawn
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["plain", "full"]
    panels = {axes.get_title(): axes for axes in figure.axes if axes.axison}
    assert set(panels) == {"cifar10, dense", "cifar100, dense", "cifar10, conv"}
    plain, single = panels["cifar10, dense"].containers
    np.testing.assert_allclose(plain[0].get_xdata(), np.arange(1, 4) * (2.0 if seconds else 1.0))
    np.testing.assert_allclose(plain[0].get_ydata(), np.mean(SEEDS, 0))
    (bars,) = plain[2]
    lengths = [segment[1, 1] - segment[0, 1] for segment in bars.get_segments()]
    np.testing.assert_allclose(lengths, 2 * np.std(SEEDS, 0, ddof=1))
    assert single[2] == ()  # of one seed there is no deviation


def test_no_panel_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"`curves` must have .*Received: \{\}"):
        plots.panels({}, tmp_path / "a.png")
