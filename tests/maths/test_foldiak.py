"""Foldiak's step against his equation in float64."""

import numpy as np
import pytest
from keras import ops

from keras_decorr.maths.foldiak import foldiak_step
from tests import reference
from tests.helpers import relative_error


@pytest.mark.parametrize("row_axis", [-2, -1])
def test_a_step_equals_the_equation(row_axis, rng):
    """In groups: each has lateral weights of its own."""
    L = np.eye(4) + 0.2 * rng.normal(size=(2, 4, 4)) * (1 - np.eye(4))
    U = rng.normal(size=(2, 9, 4))
    laid_out = U if row_axis == -2 else U.swapaxes(-1, -2)
    found = foldiak_step(
        ops.convert_to_tensor(L.astype("float32")),
        ops.convert_to_tensor(laid_out.astype("float32")),
        0.05,
        row_axis,
    )
    expected = np.stack([reference.foldiak(*group, 0.05) for group in zip(L, U, strict=True)])
    assert relative_error(ops.convert_to_numpy(found), expected) < 1e-5
