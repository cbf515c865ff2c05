"""A step, and the share of the gain that it takes, against their closed forms."""

import numpy as np
import pytest
from keras import ops

from keras_decorr.decorrelators import NormPreserving
from keras_decorr.layers import Decorrelation
from keras_decorr.maths.norm_preserving import norm_preserving_step, slow_gain
from tests import reference


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
    """With `eta = 0.95 / ||C||_F` no direction of U shrinks to less than a twentieth."""
    U = (scale * rng.normal(1.0, size=shape)).astype("float32")
    M = np.broadcast_to(np.eye(6, dtype="float32"), (3, 6, 6))
    given = (ops.convert_to_tensor(x) for x in (M, U))
    new = ops.convert_to_numpy(norm_preserving_step(*given, 1.0, 10.0))
    for u, m in zip(U.astype("float64"), new, strict=True):
        C = u.T @ u / len(u)
        expected = np.eye(6) - 0.95 * C / np.linalg.norm(C)
        np.testing.assert_allclose(m, expected, rtol=1e-4, atol=1e-5)
        assert np.linalg.eigvalsh(expected).min() > 0.05 - 1e-12


def test_noise_adds_what_it_would_have_in_the_outputs(rng):
    """Against the float64 equation, and against rows with white noise added, in the mean."""
    M = np.eye(6) + 0.2 * rng.normal(size=(6, 6))
    Z = rng.normal(size=(30, 6)) @ rng.normal(size=(6, 6))
    U = Z @ M.T
    given = (ops.convert_to_tensor(x, "float32") for x in (M, U))
    new = ops.convert_to_numpy(norm_preserving_step(*given, 1.0, 1e-3, noise=2.0))
    expected = reference.norm_preserving(M, U, U, 1e-3, noise=2.0)  # X = U: a gain of 1
    np.testing.assert_allclose(new, expected, rtol=1e-4, atol=1e-5)
    noisy = (np.repeat(Z, 4000, 0) + np.sqrt(2.0) * rng.normal(size=(120_000, 6))) @ M.T
    C = U.T @ U / len(U) + 2.0 * M @ M.T
    # The standard error of a covariance of 120,000 rows is 0.3 % of the variances; five of them.
    spread = np.sqrt(np.outer(np.diag(C), np.diag(C)))
    assert (np.abs(noisy.T @ noisy / len(noisy) - C) < 0.02 * spread).all()


def test_with_damping_m_comes_to_rest_at_soft_whitening(rng):
    """Where `M Cx M + s M^2` is a multiple of the identity: `M ~ (Cx + d mean(l) I)^(-1/2)`."""
    values = np.array([16.0, 4.0, 1.0, 0.01])
    layer = Decorrelation(
        NormPreserving(0.05, structure="full", sample_fraction=1.0, update_every=1, damping=0.5,
                       gain_rate=1.0, center=False)
    )  # fmt: skip
    # Rows whose covariance is exactly diag(values).
    Z = np.concatenate([np.diag(np.sqrt(4 * values)), -np.diag(np.sqrt(4 * values))])
    Z = (Z / np.sqrt(2)).astype("float32") * np.sqrt(2)
    for _ in range(400):
        layer(Z, training=True)
    M = ops.convert_to_numpy(layer.matrices[0]).reshape(4, 4)
    soft = 1 / np.sqrt(values + 0.5 * values.mean())
    np.testing.assert_allclose(np.diag(M) / M[0, 0], soft / soft[0], rtol=0.02)
    assert np.abs(M - np.diag(np.diag(M))).max() < 1e-3
