"""Products with C in both orders of multiplication, and its off-diagonal energy."""

import numpy as np
import pytest
from keras import ops

from keras_decorr.maths import correlation


@pytest.mark.parametrize("shape", [(3, 9), (40, 9), (4, 3, 9), (4, 40, 9)])
@pytest.mark.parametrize("rows", [None, 5, 10**6])
def test_products_and_energy(shape, rows, rng):
    U = rng.normal(size=shape)
    A = rng.normal(size=(*shape[:-2], 9, 9))
    tensor = ops.convert_to_tensor(U.astype("float32"))
    C = np.swapaxes(U, -1, -2) @ U / shape[-2]
    for added in (None, A):
        given = None if added is None else added.astype("float32")
        found = correlation.Correlation(tensor, rows, added=given)
        whole = C if added is None else C + added
        product = ops.convert_to_numpy(found.product(0.5, A.astype("float32")))
        np.testing.assert_allclose(product, 0.5 * whole @ A, rtol=1e-4, atol=1e-5)
        norm = ops.convert_to_numpy(found.squared_norm())
        np.testing.assert_allclose(norm, (whole**2).sum((-2, -1), keepdims=True), rtol=1e-4)
    np.testing.assert_allclose(
        ops.convert_to_numpy(correlation.squared_norms(tensor)),
        (U**2).sum(-1).reshape(-1, shape[-2]).sum(0),
        rtol=1e-5,
    )
    flat = np.concatenate(list(U), axis=-1) if U.ndim == 3 else U
    C = flat.T @ flat / len(flat)
    energy = np.sum(C[~np.eye(len(C), dtype=bool)] ** 2)
    value = float(correlation.off_diagonal_energy(tensor, rows))
    assert value == pytest.approx(energy, rel=1e-4)
