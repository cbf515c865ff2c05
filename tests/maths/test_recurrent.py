"""The recurrent step against its equation in float64."""

import numpy as np
import pytest
from keras import ops

from keras_decorr.maths.recurrent import recurrent_step
from tests import reference
from tests.helpers import relative_error


def tensor(x):
    return ops.convert_to_tensor(x.astype("float32"))


@pytest.mark.parametrize("row_axis", [-2, -1])
def test_a_step_equals_the_equation(row_axis, rng):
    L = np.eye(5) + 0.2 * rng.normal(size=(5, 5))
    Z = rng.normal(size=(9, 5))
    U = np.linalg.solve(L, Z.T).T
    g = np.mean(np.linalg.norm(Z, axis=1) / np.linalg.norm(U, axis=1))
    rows = (Z, U) if row_axis == -2 else (Z.T, U.T)
    found = recurrent_step(tensor(L), *map(tensor, rows), g, 0.05, row_axis)
    expected = reference.recurrent(L, Z, U, Z, U, 0.05)
    assert relative_error(ops.convert_to_numpy(found), expected) < 1e-5


def test_the_column_of_a_feature_that_does_not_vary_stays_as_it_is(rng):
    L, U = np.eye(3), rng.normal(size=(9, 3))
    U[:, 1] = 0.0
    found = ops.convert_to_numpy(recurrent_step(tensor(L), tensor(U), tensor(U), 1.5, 0.1))
    np.testing.assert_array_equal(found[:, 1], L[:, 1])
    assert np.all(found[:, [0, 2]][[0, 2]] != L[:, [0, 2]][[0, 2]])
