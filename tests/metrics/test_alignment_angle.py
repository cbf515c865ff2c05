"""Angles against what is known of them."""

import keras
import numpy as np
import pytest

from keras_decorr.metrics import AlignmentAngle, angle


@pytest.mark.parametrize("degrees", [0.0, 1e-6, 30.0, 90.0, 135.0, 180.0])
def test_angle(degrees):
    t = np.radians(degrees)
    a, b = np.array([[2e-20, 0.0]]), 1e15 * np.array([[np.cos(t), np.sin(t)]])
    found = angle(a, b)
    assert type(found) is float
    assert found == pytest.approx(degrees, abs=1e-13, rel=1e-9)
    assert angle(keras.ops.ones((2, 3)), keras.ops.ones(6)) == 0.0


def test_angle_of_nothing_and_of_other_sizes():
    assert np.isnan(angle(np.zeros(3), np.ones(3)))
    assert np.isnan(angle(np.ones(3), np.zeros(3)))
    with pytest.raises(ValueError, match=r"one size. Received: 3 and 4"):
        angle(np.ones(3), np.ones(4))


def test_metric_is_the_mean_over_rows(rng):
    metric = AlignmentAngle()
    a, b = rng.normal(size=(2, 10, 4, 3)).astype("float32")
    a[:5] *= 1e-25
    expected = np.array([angle(u, v) for u, v in zip(a, b, strict=True)])
    metric.update_state(a[:6], b[:6])
    metric.update_state(a[6:], b[6:])
    assert float(metric.result()) == pytest.approx(expected.mean(), rel=1e-5)
    metric.reset_state()
    weights = rng.uniform(size=10).astype("float32")
    metric.update_state(a, b, sample_weight=weights)
    assert float(metric.result()) == pytest.approx(np.average(expected, weights=weights), rel=1e-5)
    metric.reset_state()
    metric.update_state(a, a)
    assert float(metric.result()) == 0.0


def test_metric_leaves_zero_rows_out():
    metric = AlignmentAngle("mine")
    assert AlignmentAngle.from_config(metric.get_config()).name == "mine"
    metric.update_state(np.zeros((2, 3)), np.ones((2, 3)))
    assert float(metric.result()) == 0.0
    metric.update_state(np.array([[1.0, 0.0], [0.0, 0.0]]), np.array([[0.0, 1.0], [1.0, 1.0]]))
    assert float(metric.result()) == pytest.approx(90.0)
    with pytest.raises(ValueError, match=r"one shape.*\(2, 3\) and \(2, 4\)"):
        metric.update_state(np.ones((2, 3)), np.ones((2, 4)))
