"""Eigenvalues relative to their mean."""

import numpy as np

from keras_decorr import plots


def test_spectra_are_relative_to_their_mean():
    figure = plots.correlation_spectra({"a": ([1.0, 3.0, 0.0], [2.0, 2.0, 2.0])})
    before, after, _one = figure.axes[0].lines
    np.testing.assert_allclose(before.get_ydata(), [2.25, 0.75])  # without the zero
    np.testing.assert_allclose(after.get_ydata(), 1.0)
    assert before.get_linestyle() != after.get_linestyle()
