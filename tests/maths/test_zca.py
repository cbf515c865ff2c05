"""Inverse square roots against float64 and against the theory of the iteration."""

import numpy as np
import pytest
from keras import ops

from keras_decorr.maths.zca import inverse_root_eigh, inverse_root_newton_schulz
from tests import reference
from tests.helpers import relative_error


def matrix(rng, values):
    Q = np.linalg.qr(rng.normal(size=(len(values), len(values))))[0]
    return Q, Q @ np.diag(values) @ Q.T


@pytest.mark.parametrize("root", [inverse_root_eigh, lambda A: inverse_root_newton_schulz(A, 15)])
def test_both_equal_the_inverse_root(root, rng):
    A = np.stack([matrix(rng, np.geomspace(low, 3.0, 8))[1] for low in (0.01, 1.0)])
    found = ops.convert_to_numpy(root(ops.convert_to_tensor(A.astype("float32"))))
    expected = np.stack([reference.inverse_root(a) for a in A])
    assert relative_error(found, expected) < 1e-4


@pytest.mark.parametrize("iterations", [1, 3, 6])
def test_newton_schulz_takes_every_eigenvalue_along_its_recursion(iterations, rng):
    """`p <- p (3 - l p^2) / 2` from 1, with `l` the eigenvalue over the Frobenius norm."""
    values = np.geomspace(1e-3, 2.0, 6)
    Q, A = matrix(rng, values)
    norm = np.sqrt(np.sum(values**2))
    p = np.ones(6)
    for _ in range(iterations):
        p = p * (3 - values / norm * p**2) / 2
    expected = Q @ np.diag(p / np.sqrt(norm)) @ Q.T
    A = ops.convert_to_tensor(A.astype("float32"))
    found = ops.convert_to_numpy(inverse_root_newton_schulz(A, iterations))
    assert relative_error(found, expected) < 1e-5
