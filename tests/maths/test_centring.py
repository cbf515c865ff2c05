"""The sum of a batch, and the gradient through it."""

import numpy as np
import pytest
from keras import ops

from keras_decorr.backend.autodiff import vjp
from keras_decorr.maths.centring import count_rows, with_sum


@pytest.mark.parametrize("axes", [(0,), (0, 1), (0, 2), (0, 1, 2)])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_the_sum_and_its_gradient(axes, dtype, rng):
    x = rng.normal(1.0, size=(5, 4, 6)).astype(dtype)
    kept = [size for axis, size in enumerate(x.shape) if axis not in axes]
    dx, dsum = rng.normal(size=x.shape), rng.normal(size=kept)
    tolerance = {"float32": 1e-6, "float16": 3e-3}[dtype]

    same, total = with_sum(ops.convert_to_tensor(x), axes)
    np.testing.assert_array_equal(ops.convert_to_numpy(same), x)
    assert ops.convert_to_numpy(total).dtype == "float32"
    expected = x.astype("float64").sum(axes)
    np.testing.assert_allclose(ops.convert_to_numpy(total), expected, rtol=1e-6, atol=1e-5)
    count = np.prod([x.shape[axis] for axis in axes])
    assert float(count_rows(ops.convert_to_tensor(x), axes)) == count

    def upstream(x):  # <x, dx> + <sum, dsum>
        x, total = with_sum(x, axes)
        in_x = ops.sum(ops.cast(x, "float32") * ops.convert_to_tensor(dx, "float32"))
        return in_x + ops.sum(total * ops.convert_to_tensor(dsum, "float32"))

    gradient = vjp(upstream, ops.convert_to_tensor(x), ops.ones((), "float32"))
    expected = dx + np.expand_dims(dsum, axes)
    np.testing.assert_allclose(
        ops.convert_to_numpy(gradient), expected, rtol=tolerance, atol=tolerance
    )
