"""Figures of correlation against their definitions, written out in float64."""

import numpy as np
import pytest
from keras import ops

from keras_decorr import metrics


def rows(rng, k, n):
    """Rows with a few strong directions."""
    return rng.normal(size=(k, n)) @ (rng.normal(size=(n, n)) / np.arange(1, n + 1)) + 0.1


@pytest.mark.parametrize(("k", "n"), [(40, 7), (7, 40), (1, 5), (5, 1)])
def test_against_the_definitions(k, n, rng):
    x = rows(rng, k, n).astype("float32")
    X = x.astype("float64")
    C = X.T @ X / k
    off = C - np.diag(np.diag(C))
    tensor = ops.convert_to_tensor(x)
    expected = {
        metrics.off_diagonal_energy: np.sum(off**2) / max(n * (n - 1), 1),
        metrics.whiteness: np.linalg.norm(C / (np.trace(C) / n) - np.eye(n)) ** 2 / n,
    }
    eigenvalues = np.sort(np.linalg.eigvalsh(C))[::-1][: min(k, n)]
    np.testing.assert_allclose(metrics.correlation_eigenvalues(x), eigenvalues, rtol=1e-6)
    expected[metrics.correlation_condition] = eigenvalues[0] / eigenvalues[-1]
    p = eigenvalues / eigenvalues.sum()
    expected[metrics.effective_rank] = np.exp(-np.sum(p * np.log(p)))
    for function, value in expected.items():
        found = function(tensor)
        assert type(found) is float
        assert found == pytest.approx(value, rel=1e-6, abs=1e-12), function


def test_extremes():
    white = np.sqrt(4.0) * np.eye(4)  # C = I
    line = np.ones((6, 4))
    assert metrics.off_diagonal_energy(white) == 0.0
    assert metrics.whiteness(3.0 * white) == pytest.approx(0.0, abs=1e-12)
    assert metrics.whiteness(line) == pytest.approx(3.0)
    assert metrics.effective_rank(white) == pytest.approx(4.0)
    assert metrics.effective_rank(line) == pytest.approx(1.0)
    # The directions without any variance do not count.
    assert metrics.correlation_condition(line) == pytest.approx(1.0)
    assert metrics.correlation_condition(white * [2.0, 1.0, 1.0, 0.0]) == pytest.approx(4.0)


def test_white_noise_has_the_whiteness_and_energy_of_its_sample(rng):
    # Of k rows of n independent normal features: E ||C||^2 = n (1 + (n + 1) / k), and each
    # off-diagonal C_ij^2 has mean 1 / k. Both statistics average n^2 / 2 = 2048 nearly independent
    # terms of relative deviation sqrt(2): 3 % is one standard deviation, the margin is five.
    k, n = 256, 64
    x = rng.normal(size=(k, n))
    assert metrics.off_diagonal_energy(x) == pytest.approx(1 / k, rel=0.15)
    assert metrics.whiteness(x) == pytest.approx((n + 1) / k, rel=0.15)


def test_what_is_not_finite_shows(rng):
    x = rng.normal(size=(8, 3))
    for bad in (np.nan, np.inf):
        x[2, 1] = bad
        assert not np.isfinite(metrics.off_diagonal_energy(x))
        assert np.isnan(metrics.whiteness(x))
        assert np.isnan(metrics.correlation_condition(x))
        assert np.isnan(metrics.effective_rank(x))
        assert not np.isfinite(metrics.gain(x, np.ones((8, 3))))
    zero = np.zeros((4, 3))
    assert metrics.off_diagonal_energy(zero) == 0.0
    assert np.isnan(metrics.whiteness(zero))
    assert np.isnan(metrics.correlation_condition(zero))
    assert np.isnan(metrics.effective_rank(zero))


def test_gain(rng):
    x, u = rng.normal(size=(2, 9, 4))
    expected = np.mean(np.linalg.norm(x, axis=1) / np.linalg.norm(u, axis=1))
    assert metrics.gain(x, ops.convert_to_tensor(u)) == pytest.approx(expected, rel=1e-6)
    u[3] = 0.0
    kept = np.arange(9) != 3
    assert metrics.gain(x, u) == pytest.approx(metrics.gain(x[kept], u[kept]))
    assert metrics.gain(x, 0.0 * u) == 1.0


def test_errors():
    names = ("off_diagonal_energy", "whiteness", "correlation_condition", "effective_rank")
    for name in names:
        with pytest.raises(ValueError, match=r"Received: shape \(2, 3, 4\)"):
            getattr(metrics, name)(np.ones((2, 3, 4)))
        with pytest.raises(ValueError, match=r"not empty.*Received: shape \(0, 4\)"):
            getattr(metrics, name)(np.ones((0, 4)))
    with pytest.raises(ValueError, match=r"same rows.*\(2, 3\) and \(4, 3\)"):
        metrics.gain(np.ones((2, 3)), np.ones((4, 3)))
