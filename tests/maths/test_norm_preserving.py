"""A step, and the share of the gain that it takes, against their closed forms."""

import numpy as np
import pytest
from keras import ops

from keras_decorr.maths.norm_preserving import norm_preserving_step, slow_gain


def test_a_small_gain_is_taken_to_its_power():
    g = np.array([0.7, 0.99, 1.0, 1.2, 1.5], "float32")
    taken = ops.convert_to_numpy(slow_gain(ops.convert_to_tensor(g), 0.1))
    np.testing.assert_allclose(taken, g.astype("float64") ** 0.1, rtol=1e-6)


@pytest.mark.parametrize("g", [1e-6, 0.1, 10.0, 1e6])
def test_of_a_large_one_a_factor_is_left(g):
    taken = float(slow_gain(ops.convert_to_tensor(g, "float32"), 0.1))
    assert taken == pytest.approx(g * 1.5 if g < 1 else g / 1.5, rel=1e-5)


def test_at_a_rate_of_one_it_is_taken_whole():
    g = np.array([1e-6, 0.7, 1.0, 1e6], "float32")
    np.testing.assert_array_equal(ops.convert_to_numpy(slow_gain(ops.convert_to_tensor(g), 1.0)), g)


@pytest.mark.parametrize("scale", [1.0, 1000.0])
@pytest.mark.parametrize("shape", [(3, 20, 6), (3, 4, 6)])
def test_a_rate_that_would_overshoot_is_lowered(scale, shape, rng):
    """With `eta = 1 / ||C||_F` no direction of U changes its sign: `I - eta C` has no negative one."""
    U = (scale * rng.normal(1.0, size=shape)).astype("float32")
    M = np.broadcast_to(np.eye(6, dtype="float32"), (3, 6, 6))
    new = ops.convert_to_numpy(norm_preserving_step(M, U, 1.0, 10.0))
    for u, m in zip(U.astype("float64"), new, strict=True):
        C = u.T @ u / len(u)
        expected = np.eye(6) - C / np.linalg.norm(C)
        np.testing.assert_allclose(m, expected, rtol=1e-4, atol=1e-5)
        assert np.linalg.eigvalsh(expected).min() > -1e-12
