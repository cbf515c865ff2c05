"""The plots: what is in the figures, and that they are told apart without colour."""

import numpy as np
import pytest

from keras_decorr import plots


def test_correlation_matrices_are_coefficients(tmp_path):
    before = np.array([[4.0, -1.0, 0.0], [-1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])  # one is constant
    path = tmp_path / "correlations.png"
    figure = plots.correlation_matrices({"a": (before, np.eye(3)), "b": (before, before)}, path)
    assert path.read_bytes().startswith(b"\x89PNG")
    images = [ax.images[0].get_array() for ax in figure.axes[:4]]
    expected = np.array([[1.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 0.0]])
    for image, values in zip(images, (expected, np.eye(3), expected, expected), strict=True):
        np.testing.assert_allclose(image, values)
    assert figure.axes[0].get_ylabel() == "a"


def test_a_large_matrix_keeps_its_largest_elements(rng):
    M = np.full((1000, 1000), 1e-3)
    M[701, 903] = -5.0
    figure = plots.decorrelation_matrices({"wide": M, "small": np.eye(2)})
    shown = figure.axes[0].images[0].get_array()
    assert shown.shape == (334, 334)
    assert shown[701 // 3, 903 // 3] == 5.0
    assert np.sum(shown > 1e-3) == 1


def test_spectra_are_relative_to_their_mean():
    figure = plots.correlation_spectra({"a": ([1.0, 3.0, 0.0], [2.0, 2.0, 2.0])})
    before, after, _one = figure.axes[0].lines
    np.testing.assert_allclose(before.get_ydata(), [2.25, 0.75])  # without the zero
    np.testing.assert_allclose(after.get_ydata(), 1.0)
    assert before.get_linestyle() != after.get_linestyle()


def test_rates_have_means_and_error_bars(tmp_path):
    found = {"full": {1e-3: [0.4, 0.6], 1e-5: [0.5]}, "monarch": {1e-4: [0.7, 0.7]}}
    path = tmp_path / "rates.pdf"
    figure = plots.rate_sensitivity(found, path, "title", baseline=[0.3, 0.5])
    assert path.read_bytes().startswith(b"%PDF")
    (axes,) = figure.axes
    full, monarch = axes.containers
    np.testing.assert_allclose(full.lines[0].get_xydata(), [[1e-5, 0.5], [1e-3, 0.5]])
    (bars,) = full.lines[2]
    ends = [0.5 - 0.02**0.5, 0.5 + 0.02**0.5]  # the deviation of the sample
    np.testing.assert_allclose([s[:, 1] for s in bars.get_segments()], [[0.5, 0.5], ends])
    assert full.lines[0].get_marker() != monarch.lines[0].get_marker()
    with pytest.raises(ValueError, match=r"positive rates.*Received: 0.0 for 'full'"):
        plots.rate_sensitivity({"full": {0.0: [0.1]}})


def test_angles_are_bars_with_hatches():
    found = {
        "plain": {"1": [80.0, 90.0], "2": 100.0},
        "full": {"1": [40.0], "2": [np.nan]},
    }
    figure = plots.alignment_angles({"first": found, "second": {"plain": {"1": [10.0]}}})
    plain, full = (c for c in figure.axes[0].containers if hasattr(c, "patches") and len(c.patches))
    assert [bar.get_height() for bar in plain] == [85.0, 100.0]
    assert full[0].get_height() == 40.0
    assert np.isnan(full[1].get_height())
    assert (plain[0].get_hatch(), plain[0].get_facecolor()) != (
        full[0].get_hatch(), full[0].get_facecolor(),
    )  # fmt: skip
    assert figure.axes[0].get_ylim()[1] > 100
    assert len(figure.legends[0].get_texts()) == 2


def test_nets_built_one_after_the_other_are_matched_in_order():
    found = {"plain": {"dense": 80.0, "dense_1": 70.0}, "full": {"dense_2": 40.0, "dense_3": 30.0}}
    (axes,) = plots.alignment_angles({"": found}).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["layer 1", "layer 2"]
    plain, full = (c for c in axes.containers if hasattr(c, "patches") and len(c.patches))
    assert [bar.get_height() for bar in (*plain, *full)] == [80.0, 70.0, 40.0, 30.0]
    del found["full"]["dense_3"]
    (axes,) = plots.alignment_angles({"": found}).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["dense", "dense_1", "dense_2"]


@pytest.mark.parametrize(
    "name",
    [
        "alignment_angles", "correlation_matrices", "correlation_spectra",
        "decorrelation_matrices", "learning_curves", "rate_sensitivity",
    ],
)  # fmt: skip
def test_nothing_to_draw_is_an_error(name):
    with pytest.raises(ValueError, match=f"of {name} must be a dictionary"):
        getattr(plots, name)({})


def test_what_is_not_square_is_an_error():
    with pytest.raises(ValueError, match=r"Received: shape \(2, 3\) for 'a'"):
        plots.decorrelation_matrices({"a": np.ones((2, 3))})
    with pytest.raises(ValueError, match="correlation_matrices needs square"):
        plots.correlation_matrices({"a": (np.eye(2), np.ones(3))})
