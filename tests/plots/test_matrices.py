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


def test_what_is_not_square_is_an_error():
    with pytest.raises(ValueError, match=r"Received: shape \(2, 3\) for 'a'"):
        plots.decorrelation_matrices({"a": np.ones((2, 3))})
    with pytest.raises(ValueError, match="correlation_matrices needs square"):
        plots.correlation_matrices({"a": (np.eye(2), np.ones(3))})
