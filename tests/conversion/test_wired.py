"""Wiring reaches plain layers while a model is wired."""

import keras
import numpy as np
from keras import layers

from keras_decorr.context import wiring
from keras_decorr.conversion.wired import wired
from keras_decorr.layers import DecorConv2D, DecorDense
from tests.conversion.nets import outputs


class Seen(wiring.Wiring):
    def __init__(self):
        self.layers = []

    def pre_activation(self, layer, a):
        self.layers.append(layer.name)
        return a


def test_wiring_sees_every_call_and_the_model_is_left_as_it_was(rng):
    inner = keras.Sequential([keras.Input((6,)), layers.Dense(5, name="nested")], name="inner")
    shared = layers.Dense(5, activation="tanh", name="shared")
    i = keras.Input((4, 4, 1))
    h = layers.Flatten()(layers.Conv2D(2, 3, name="conv")(i))
    h = layers.Dropout(0.5)(inner(layers.Dense(6, name="first")(h)))
    model = keras.Model(i, DecorDense(3, name="last")(shared(shared(h))))
    x = rng.normal(size=(5, 4, 4, 1)).astype("float32")
    expected, kinds = outputs(model, x)[0], [type(part) for part in model._flatten_layers()]
    seen = Seen()
    with wired(model):
        assert type(model.get_layer("conv")) is DecorConv2D
        with wiring.opened(seen):
            got = outputs(model, x)[0]
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)
    assert seen.layers == ["conv", "first", "nested", "shared", "shared", "last"]
    assert [type(part) for part in model._flatten_layers()] == kinds
    np.testing.assert_array_equal(outputs(model, x)[0], expected)


def test_subclasses_and_quantized_layers_are_left_out():
    class Own(layers.Dense):
        pass

    model = keras.Sequential([keras.Input((8,)), Own(8), layers.Dense(8)])
    model.layers[1].quantize("int8")
    with wired(model):
        assert [type(layer) for layer in model.layers] == [Own, layers.Dense]
