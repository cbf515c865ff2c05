"""The step of decorrelated backpropagation against its equation in float64."""

import numpy as np
import pytest
from keras import ops

from keras_decorr.maths.decorrelated_backprop import decorrelated_backprop_step
from tests import reference
from tests.helpers import relative_error


@pytest.mark.parametrize("row_axis", [-2, -1])
@pytest.mark.parametrize("k", [4, 40])
@pytest.mark.parametrize("kappa", [0.0, 0.3, 1.0])
def test_a_step_equals_the_equation(kappa, k, row_axis, rng):
    M, U = rng.normal(size=(6, 6)), rng.normal(size=(k, 6))
    laid_out = U if row_axis == -2 else U.T
    found = decorrelated_backprop_step(
        ops.convert_to_tensor(M.astype("float32")),
        ops.convert_to_tensor(laid_out.astype("float32")),
        kappa,
        0.05,
        row_axis=row_axis,
    )
    expected = reference.decorrelated_backprop(M, None, U, 0.05, kappa)
    assert relative_error(ops.convert_to_numpy(found), expected) < 1e-5


def test_the_row_of_a_feature_that_does_not_vary_stays_as_it_is(rng):
    M, U = rng.normal(size=(3, 3)).astype("float32"), rng.normal(size=(9, 3)).astype("float32")
    U[:, 1] = 0.0
    step = decorrelated_backprop_step(ops.convert_to_tensor(M), ops.convert_to_tensor(U), 0.5, 0.1)
    step = ops.convert_to_numpy(step)
    np.testing.assert_array_equal(step[1], M[1])
    assert np.all(step[[0, 2]] != M[[0, 2]])
