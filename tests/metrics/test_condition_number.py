"""The condition number against singular values."""

import numpy as np
import pytest
from keras import ops

from keras_decorr import metrics


def test_condition_number(rng):
    A = rng.normal(size=(2, 5, 5))
    s = [np.linalg.svd(block)[1] for block in A]
    assert metrics.condition_number(ops.convert_to_tensor(A)) == pytest.approx(
        np.max(s) / np.min(s), rel=1e-4
    )
    assert metrics.condition_number(np.diag([1.0, 0.0])) == np.inf
    assert np.isnan(metrics.condition_number([[np.nan, 0.0], [0.0, 1.0]]))
    with pytest.raises(ValueError, match=r"square matrix.*Received: shape \(3, 4\)"):
        metrics.condition_number(np.ones((3, 4)))
