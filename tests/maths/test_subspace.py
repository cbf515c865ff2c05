"""Oja's rule against its equation in float64, and against the subspace it promises to find."""

import numpy as np
from keras import ops

from keras_decorr.decorrelators.structures import LowRank
from keras_decorr.maths.subspace import oja_step
from tests.helpers import relative_error


def double(x):
    return ops.convert_to_numpy(x).astype("float64")


def test_a_step_equals_the_equation(rng):
    V, Z = np.linalg.qr(rng.normal(size=(7, 3)))[0], rng.normal(size=(9, 7))
    C = Z.T @ Z / 9
    W = V + (np.eye(7) - V @ V.T) @ (0.2 / np.trace(C) * C @ V)
    expected = W @ (3 * np.eye(3) - W.T @ W) / 2
    V, Z = (ops.convert_to_tensor(x.astype("float32")) for x in (V, Z))
    assert relative_error(double(oja_step(V, Z, rate=0.2)), expected) < 1e-5


def test_it_finds_the_principal_subspace(rng):
    """From random directions to those of the largest variance; the basis stays orthonormal."""
    n, r = 30, 3
    basis = np.linalg.qr(rng.normal(size=(n, n)))[0]
    deviations = np.r_[3.0 * np.ones(r), 0.3 * np.ones(n - r)]
    V = ops.convert_to_tensor(LowRank(r).for_features(n).identities()[0])
    for _ in range(300):
        Z = (rng.normal(size=(20, n)) * deviations) @ basis.T
        V = oja_step(V, ops.convert_to_tensor(Z.astype("float32")))
    V = double(V)
    np.testing.assert_allclose(V.T @ V, np.eye(r), atol=1e-4)
    # A fixed seed; what is left is the noise of the last 1 / RATE batches, by theory
    # RATE / 2 * (0.3 / 3)^2 * (n - r) / 20 = 0.002 of the squared sine of each angle.
    cosines = np.linalg.svd(basis[:, :r].T @ V, compute_uv=False)
    assert np.all(1 - cosines**2 < 0.01)
