"""The Fisher block of one linear map against explicit sums over samples."""

import numpy as np
import pytest

from keras_decorr.analysis.fisher import Moments, damped, exact_block


@pytest.mark.parametrize("bias", [False, True])
def test_factors_and_natural_gradients(bias, rng):
    z, d = rng.normal(size=(40, 3, 4)) + 1.0, rng.normal(size=(40, 3, 2))
    moments = Moments(4, 2, bias)
    for half in (slice(0, 15), slice(15, 40)):  # in whatever parts they come
        moments.see(z[half], d[half])
        moments.score(d[half])
    rows, scores = z.reshape(-1, 4), d.reshape(-1, 2)
    centred = rows - rows.mean(0) if bias else rows
    centre = rows.mean(0) if bias else np.zeros(4)
    np.testing.assert_allclose(moments.centre, centre, atol=1e-12)
    exact = exact_block([(z - centre, d)], bias)
    fisher = moments.fisher(exact)
    np.testing.assert_allclose(fisher.A, centred.T @ centred / 120, atol=1e-10)
    np.testing.assert_allclose(fisher.G, scores.T @ scores / 120, atol=1e-10)
    np.testing.assert_allclose(fisher.gradient, centred.T @ scores, atol=1e-10)
    by_input = np.linalg.inv(damped(fisher.A, 0.1)) @ fisher.gradient
    by_both = by_input @ np.linalg.inv(damped(fisher.G, 0.1))
    np.testing.assert_allclose(fisher.by_input_factor(0.1), by_input, atol=1e-10)
    np.testing.assert_allclose(fisher.by_output_factor(by_input, 0.1), by_both, atol=1e-10)
    homogeneous = np.concatenate([z - centre, np.ones((40, 3, int(bias)))], axis=-1)
    g = np.einsum("stn,stm->snm", homogeneous, d).reshape(40, -1)
    np.testing.assert_allclose(exact, g.T @ g, atol=1e-8)
    step = np.linalg.solve(damped(exact, 0.1), g.sum(0)).reshape(4 + bias, 2)[:4]
    np.testing.assert_allclose(fisher.by_exact(0.1), step, atol=1e-8)
    assert moments.fisher().by_exact(0.1) is None


def test_damping_is_relative_and_a_zero_matrix_becomes_the_identity():
    np.testing.assert_allclose(damped(np.diag([1.0, 3.0]), 0.5), np.diag([2.0, 4.0]))
    np.testing.assert_array_equal(damped(np.zeros((2, 2)), 0.5), np.eye(2))
