"""The fixed point of the lateral dynamics: its value, its gradients, where it stops converging."""

import numpy as np
import pytest
from keras import ops

from keras_decorr.backend.autodiff import derivative, vjp
from keras_decorr.maths.lateral import fixed_point, settle, unsettled
from tests.helpers import relative_error

CLOSE = {"tolerance": 1e-6, "steps": 500}


def tensor(x):
    return ops.convert_to_tensor(np.asarray(x, "float32"))


def numpy(x):
    return ops.convert_to_numpy(x).astype("float64")


@pytest.mark.parametrize("row_axis", [-1, -2])
@pytest.mark.parametrize("transposed", [False, True])
def test_value_and_gradients_equal_those_of_a_dense_solve(row_axis, transposed, rng):
    """Written out: `u = L^-1 z`; for the gradient `e`: `v = L^-T e`, and `-v u^T` for L."""
    L = np.eye(5) + 0.3 * rng.normal(size=(2, 5, 5)) / np.sqrt(5)
    Z, E = rng.normal(size=(2, 2, 5, 7))
    A = L.swapaxes(-1, -2) if transposed else L
    U, V = np.linalg.solve(A, Z), np.linalg.solve(A.swapaxes(-1, -2), E)
    dL = -V @ U.swapaxes(-1, -2)
    dL = dL.swapaxes(-1, -2) if transposed else dL

    def laid_out(x):
        return tensor(x if row_axis == -1 else x.swapaxes(-1, -2))

    def point(L, Z):
        return fixed_point(L, Z, row_axis, transposed, **CLOSE)

    z, e, matrix = laid_out(Z), laid_out(E), tensor(L)
    assert relative_error(numpy(point(matrix, z)), numpy(laid_out(U))) < 1e-5
    found = vjp(lambda z: point(matrix, z), z, e)
    assert relative_error(numpy(found), numpy(laid_out(V))) < 1e-5
    assert relative_error(numpy(vjp(lambda L: point(L, z), matrix, e)), dL) < 1e-5
    _, slope = derivative(lambda size: point(matrix, z + size * e))
    assert relative_error(numpy(slope), numpy(laid_out(np.linalg.solve(A, E)))) < 1e-5


def test_euler_settles_below_two_over_the_largest_eigenvalue_and_explodes_above(rng):
    values = np.array([0.5, 1.0, 2.0, 8.0])
    Q = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    L, Z = tensor(Q @ np.diag(values) @ Q.T), tensor(rng.normal(size=(4, 3)))
    exact = Q @ np.diag(1 / values) @ Q.T @ numpy(Z)
    for share, rests in ((0.95, True), (1.05, False)):
        U, count = settle(L, Z, step_size=share * 2 / 8, steps=300)
        assert (int(count) < 300) == rests
        assert bool(unsettled(L, Z, U, 1e-4)) != rests
        assert (relative_error(numpy(U), exact) < 1e-3) == rests
    # The error along an eigenvalue falls by |1 - a l| a step: with a = 1 / 8 the slowest by 15 / 16.
    U, count = settle(L, Z, step_size=1 / 8, steps=20, tolerance=1e-12)
    start, error = (Q.T @ (u - exact) for u in (numpy(Z), numpy(U)))
    np.testing.assert_allclose(error[0], start[0] * (15 / 16) ** 20, rtol=1e-3)
    assert int(count) == 20


def test_the_default_step_is_safe_for_large_weights_and_for_padding(rng):
    L = np.zeros((2, 4, 4))  # the second group is padding
    A = rng.normal(size=(3, 3))
    L[0, :3, :3] = 50 * (A @ A.T + np.eye(3))
    Z = np.zeros((2, 4, 6))
    Z[0, :3] = rng.normal(size=(3, 6))
    U = numpy(fixed_point(tensor(L), tensor(Z), steps=2000, tolerance=1e-6))
    assert relative_error(U[0, :3], np.linalg.solve(L[0, :3, :3], Z[0, :3])) < 1e-4
    assert not U[1].any() and not U[0, 3].any()


def test_bad_numbers_end_the_integration(rng):
    Z = rng.normal(size=(4, 3))
    Z[1, 1] = np.nan
    L = tensor(np.eye(4))
    U, _ = settle(2 * L, tensor(Z), steps=50)
    assert np.isnan(numpy(U)[1, 1])
    assert not unsettled(L, tensor(Z), tensor(Z), 1e-4)  # bad inputs are no failure of the dynamics
    assert unsettled(L, tensor(np.ones((4, 3))), tensor(Z), 1e-4)
