"""What version 0.1.0 wrote into a file in the place of a user's class is loaded."""

import keras
import pytest
from keras import layers

import keras_decorr
from keras_decorr import fold
from keras_decorr.layers import DecorDense
from keras_decorr.training import decorrelation_layers
from tests.conversion.nets import assert_same, disturb, reloaded


@keras.saving.register_keras_serializable(package="tests.converted")
class Block(layers.Layer):
    """Layers in an attribute, under two names, in a list inside a dictionary, and a recurrent one."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.first = layers.Dense(units, name="first")
        self.of = {"list": [layers.Dense(units, name="second")], "same": self.first}
        self.lstm = layers.LSTM(units, return_sequences=True, name="lstm")

    def build(self, input_shape):
        for layer in (self.first, self.of["list"][0], self.lstm):
            layer.build((*input_shape[:-1], self.units))

    def call(self, x):
        return self.lstm(self.of["same"](self.of["list"][0](self.first(x))))

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable(package="tests.converted")
class Net(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.block = Block(6, name="block")

    def call(self, x, training=None):
        return self.block(x)


def plain(owner):
    config = keras.saving.serialize_keras_object(owner)
    return {name: config[name] for name in ("module", "class_name", "config", "registered_name")}


def converted(owner, replaced, **more):
    """As version 0.1.0 serialised it."""
    return {
        "module": "keras_decorr.conversion.converted",
        "class_name": "Converted",
        "config": {"plain": plain(owner), "replaced": replaced},
        "registered_name": "keras_decorr>Converted",
        **more,
    }


def of_block():
    replaced = {
        "first": plain(DecorDense(6, name="first", decorrelator="zca")),
        "of/list/0": plain(DecorDense(6, name="second")),
        "of/same": "first",
        "lstm": {
            "module": "keras_decorr.layers.decor_rnn",
            "class_name": "DecorRNN",
            "config": {
                "name": "lstm",
                "layer": plain(layers.LSTM(6, return_sequences=True, name="lstm")),
                "decorrelator": "norm_preserving",
            },
            "registered_name": "keras_decorr>DecorRNN",
        },
    }
    return converted(Block(6, name="block"), replaced, build_config={"input_shape": (None, 5, 6)})


@pytest.fixture
def x(rng):
    return rng.normal(size=(3, 5, 6)).astype("float32")


@pytest.mark.parametrize("kind", [Block, Net])
def test_layers_are_in_the_places_of_the_plain_ones(kind, x, rng, tmp_path):
    serialised = of_block() if kind is Block else converted(Net(), {"block": of_block()})
    owner = keras.saving.deserialize_keras_object(serialised)
    owner(x)
    block = owner if kind is Block else owner.block
    assert isinstance(owner, kind) and isinstance(block, Block)
    assert type(block.first) is DecorDense and block.of["same"] is block.first
    assert isinstance(block.first.decorrelator, keras_decorr.decorrelators.ZCA)
    assert len(owner.trainable_variables) == 7
    assert len(decorrelation_layers(owner)) == 3
    disturb(owner, rng)
    model = keras.Sequential([keras.Input((5, 6)), owner])
    assert_same(reloaded(model, tmp_path), model, x)
    folded = fold(model)
    assert_same(folded, model, x, 1e-4)
    assert type(folded.layers[0]) is kind
    assert_same(reloaded(folded, tmp_path), folded, x)
