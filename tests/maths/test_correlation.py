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
    product = correlation.scaled_correlation_product(0.5, tensor, A.astype("float32"), rows)
    np.testing.assert_allclose(ops.convert_to_numpy(product), 0.5 * C @ A, rtol=1e-4, atol=1e-5)
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
