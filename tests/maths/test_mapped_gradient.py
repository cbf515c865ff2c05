"""A tensor whose gradient is changed on the way."""

import keras
import numpy as np
from keras import ops

from keras_decorr.backend.autodiff import variable_gradients
from keras_decorr.maths.mapped_gradient import with_mapped_gradient


def test_the_value_stays_and_the_gradient_is_mapped(rng):
    value = rng.normal(size=(3, 2)).astype("float32")
    A = rng.normal(size=(3, 3)).astype("float32")
    upstream = rng.normal(size=(3, 2)).astype("float32")
    K = keras.Variable(value)
    seen = []

    def loss():
        seen.append(with_mapped_gradient(K, lambda d: ops.matmul(A, d)))
        return ops.sum(seen[-1] * ops.convert_to_tensor(upstream))

    (gradient,) = variable_gradients(loss, [K])
    np.testing.assert_allclose(ops.convert_to_numpy(gradient), A @ upstream, rtol=1e-5)
    outputs = ops.convert_to_numpy(with_mapped_gradient(K, lambda d: d * 0.0))
    np.testing.assert_array_equal(outputs, value)
