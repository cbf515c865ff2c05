"""The mean of a batch, and the gradient through it."""

import numpy as np
import pytest
from keras import ops

from keras_decorr.backend.autodiff import vjp
from keras_decorr.maths.centring import with_mean


@pytest.mark.parametrize("axes", [(0,), (0, 1), (0, 2), (0, 1, 2)])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_the_mean_and_its_gradient(axes, dtype, rng):
    x = rng.normal(1.0, size=(5, 4, 6)).astype(dtype)
    count = np.prod([x.shape[axis] for axis in axes])
    kept = [size for axis, size in enumerate(x.shape) if axis not in axes]
    dx, dmean = rng.normal(size=x.shape), rng.normal(size=kept)
    tolerance = {"float32": 1e-6, "float16": 3e-3}[dtype]

    same, mean = with_mean(ops.convert_to_tensor(x), axes)
    np.testing.assert_array_equal(ops.convert_to_numpy(same), x)
    assert ops.convert_to_numpy(mean).dtype == "float32"
    expected = x.astype("float64").mean(axes)
    np.testing.assert_allclose(ops.convert_to_numpy(mean), expected, rtol=1e-6, atol=1e-6)

    def upstream(x):  # <x, dx> + <mean, dmean>
        x, mean = with_mean(x, axes)
        in_x = ops.sum(ops.cast(x, "float32") * ops.convert_to_tensor(dx, "float32"))
        return in_x + ops.sum(mean * ops.convert_to_tensor(dmean, "float32"))

    gradient = vjp(upstream, ops.convert_to_tensor(x), ops.ones((), "float32"))
    expected = dx + np.expand_dims(dmean, axes) / count
    np.testing.assert_allclose(
        ops.convert_to_numpy(gradient), expected, rtol=tolerance, atol=tolerance
    )
