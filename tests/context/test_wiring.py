"""Where a wiring reaches into a layer: what each of its methods gets, and what becomes of it."""

import numpy as np
from keras import ops

from keras_decorr.context import wiring
from keras_decorr.layers import DecorDense
from tests.helpers import perturb, undamped


class Recording(wiring.Wiring):
    """Passes everything on, and keeps it."""

    def __init__(self):
        self.seen = {}

    def linear(self, layer, op, x, kernel, fold):
        self.seen.setdefault("linear", []).append((layer, op, x, kernel, fold))
        return super().linear(layer, op, x, kernel, fold)

    def output(self, layer, a, y):
        self.seen["output"] = (layer, a, y)


class Changing(wiring.Wiring):
    """Doubles the inputs, centres by zero, adds one to the pre-activation."""

    def inputs(self, layer, x):
        return 2.0 * x

    def mean(self, layer, batch_mean):
        return ops.zeros_like(batch_mean())

    def pre_activation(self, layer, a):
        return a + 1.0


def layer_of(rng, units=2):
    layer = DecorDense(units, activation="relu", decorrelator=undamped(0.0, structure="full"))
    layer.build((None, 5))
    perturb(layer.decorrelation, rng)
    return layer


def test_the_wiring_opened_last_is_in_force():
    ground = wiring.current()
    assert type(ground) is wiring.Wiring
    with wiring.opened(Recording()) as opened:
        assert wiring.current() is opened
    assert wiring.current() is ground


def test_a_wiring_sees_the_linear_map_with_m_in_the_kernel(rng):
    layer = layer_of(rng)
    x = ops.convert_to_tensor(rng.normal(size=(8, 5)).astype("float32"))
    expected = ops.convert_to_numpy(layer(x))
    with wiring.opened(Recording()) as wires:
        y = layer(x)
    np.testing.assert_array_equal(ops.convert_to_numpy(y), expected)
    (seen, _op, inputs, kernel, fold), _ = wires.seen["linear"]  # the map, and that of the mean
    assert seen is layer and inputs is x
    M = ops.convert_to_numpy(layer.decorrelation.matrices[0])
    K = ops.convert_to_numpy(layer.kernel)
    np.testing.assert_allclose(ops.convert_to_numpy(kernel), M.T @ K, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(fold(ops.convert_to_tensor(K))), ops.convert_to_numpy(kernel)
    )
    _, a, outputs = wires.seen["output"]
    np.testing.assert_array_equal(np.maximum(ops.convert_to_numpy(a), 0.0), expected)
    np.testing.assert_array_equal(ops.convert_to_numpy(outputs), expected)


def test_what_a_wiring_returns_takes_the_place_of_what_it_got(rng):
    x = rng.normal(size=(8, 5)).astype("float32")
    for units in (2, 300):  # folded into the kernel, or applied
        layer = layer_of(rng, units)
        M = ops.convert_to_numpy(layer.decorrelation.matrices[0]).astype("float64")
        with wiring.opened(Changing()):
            y = layer(x, training=True)
        a = 2.0 * x @ M.T @ ops.convert_to_numpy(layer.kernel) + 1.0
        np.testing.assert_allclose(
            ops.convert_to_numpy(y), np.maximum(a, 0.0), rtol=1e-4, atol=1e-5
        )
