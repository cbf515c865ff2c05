"""Reverse and forward mode, against closed forms."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_decorr.backend.autodiff import derivative, read, variable_gradients, vjp


def numpy(x):
    return ops.convert_to_numpy(x)


def test_the_gradient_of_a_product_with_the_output(rng):
    x, d = (ops.convert_to_tensor(rng.normal(size=(3, 4)).astype("float32")) for _ in range(2))
    got = vjp(ops.sin, x, d)
    np.testing.assert_allclose(numpy(got), np.cos(numpy(x)) * numpy(d), rtol=1e-5, atol=1e-6)


def test_value_and_derivative_along_a_scalar(rng):
    x, v = (ops.convert_to_tensor(rng.normal(size=(3, 4)).astype("float32")) for _ in range(2))
    value, slope = derivative(lambda t: ops.sum(ops.exp(x + t * v), axis=-1))
    exp = np.exp(numpy(x))
    np.testing.assert_allclose(numpy(value), exp.sum(-1), rtol=1e-5)
    np.testing.assert_allclose(numpy(slope), (exp * numpy(v)).sum(-1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("loss", ["sparse_categorical_crossentropy", "categorical_crossentropy"])
def test_forward_mode_passes_through_layers_and_losses(loss, rng):
    """What has no forward rule on some backend would show here."""
    layer = keras.layers.Conv2D(3, 2, activation="leaky_relu")
    x = ops.convert_to_tensor(rng.normal(size=(4, 3, 3, 2)).astype("float32"))
    layer(x)
    y = np.arange(4) % 3
    y = y if loss.startswith("sparse") else np.eye(3)[y]

    def of(t):
        h = layer(x + t)
        h = keras.layers.MaxPooling2D(2)(h)
        p = keras.layers.Softmax()(keras.layers.Flatten()(h))
        return keras.losses.get(loss)(ops.convert_to_tensor(y.astype("float32")), p)

    value, slope = derivative(of)
    assert value.shape == slope.shape == (4,)
    h = 1e-2
    difference = (numpy(of(h)) - numpy(of(-h))) / (2 * h)
    np.testing.assert_allclose(numpy(slope), difference, rtol=1e-2, atol=1e-3)


def test_what_does_not_depend_on_the_scalar_has_no_slope():
    value, slope = derivative(lambda t: ops.ones((3,)))
    np.testing.assert_array_equal(numpy(value), 1.0)
    np.testing.assert_array_equal(numpy(slope), 0.0)


def test_reading_gives_the_value():
    variable = keras.Variable(np.arange(3.0, dtype="float32"))
    assert not isinstance(read(variable), keras.Variable)
    np.testing.assert_array_equal(numpy(read(variable)), [0.0, 1.0, 2.0])


def test_gradients_of_a_loss_that_reads_variables():
    w, unused = keras.Variable([2.0, 3.0]), keras.Variable([1.0])
    found = variable_gradients(lambda: ops.sum(w.value**3), [w, unused])
    np.testing.assert_allclose(numpy(found[0]), [12.0, 27.0], rtol=1e-6)
    assert found[1] is None or not numpy(found[1]).any()  # JAX gives zeros
