"""How the weights of a stage act, in both layouts of the rows."""

import numpy as np
import pytest
from keras import ops

from keras_decorr.decorrelators.structures import Product


@pytest.mark.parametrize("row_axis", [-2, -1])
def test_it_is_the_product_with_m_and_folds_with_its_transpose(row_axis, rng):
    M, X = rng.normal(size=(2, 4, 4)), rng.normal(size=(2, 5, 4))
    laid_out = X if row_axis == -2 else X.swapaxes(-1, -2)
    expected = X @ M.swapaxes(-1, -2)
    weights, rows = (ops.convert_to_tensor(x.astype("float32")) for x in (M, laid_out))
    applied = ops.convert_to_numpy(Product().apply(weights, rows, row_axis))
    applied = applied if row_axis == -2 else applied.swapaxes(-1, -2)
    np.testing.assert_allclose(applied, expected, rtol=1e-4, atol=1e-5)
    if row_axis == -1:
        folded = ops.convert_to_numpy(Product().fold(weights, rows))
        np.testing.assert_allclose(folded, M.swapaxes(-1, -2) @ laid_out, rtol=1e-4, atol=1e-5)
    assert Product().matrix(M) is M
