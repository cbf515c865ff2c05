"""The copy of a model that wiring reaches."""

import keras
import numpy as np
from keras import layers as plain

import keras_decorr
from keras_decorr.context import wiring
from keras_decorr.conversion.with_wiring import with_wiring
from keras_decorr.layers import DecorConv2D, DecorDense


class Seen(wiring.Wiring):
    def __init__(self):
        self.layers = []

    def pre_activation(self, layer, a):
        self.layers.append(layer.name)
        return a


def test_a_copy_computes_the_same_and_wiring_sees_every_call(rng):
    inner = keras.Sequential([keras.Input((6,)), plain.Dense(5, name="nested")], name="inner")
    shared = plain.Dense(5, activation="tanh", name="shared")
    inputs = keras.Input((4, 4, 1))
    h = plain.Flatten()(plain.Conv2D(2, 3, name="conv")(inputs))
    h = plain.Dropout(0.5)(inner(plain.Dense(6, name="first")(h)))
    model = keras.Model(inputs, DecorDense(3, name="last")(shared(shared(h))))
    model.compile("sgd", "mse")
    copy = with_wiring(model)
    x = rng.normal(size=(5, 4, 4, 1)).astype("float32")
    seen = Seen()
    with wiring.opened(seen):
        got = copy(x)
    expected = keras.ops.convert_to_numpy(model(x))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(got), expected, rtol=1e-4, atol=1e-6)
    assert seen.layers == ["conv", "first", "nested", "shared", "shared", "last"]
    assert copy.compiled
    kinds = [type(layer) for layer in model._flatten_layers(include_self=False)]
    assert DecorConv2D not in kinds  # the model itself is as it was
    copy.get_layer("shared").layer.kernel.assign(np.zeros((5, 5)))
    assert np.any(keras.ops.convert_to_numpy(shared.kernel))


def test_a_model_with_nothing_to_replace_is_not_copied():
    model = keras_decorr.Sequential([keras.Input((4,)), DecorDense(3, decorrelator=None)])
    assert with_wiring(model) is model
