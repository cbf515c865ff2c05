"""Accuracy against the decorrelation rate."""

import numpy as np
import pytest

from keras_decorr import plots


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
