"""Layers and models of a user's own class."""

import keras
import numpy as np
import pytest
from keras import layers
from keras.src.models.functional import Functional

import keras_decorr
from keras_decorr import fold
from keras_decorr.layers import DecorDense
from tests.conversion.nets import assert_same, decorrelate, disturb, outputs, round_trip
from tests.helpers import EAGERLY


@keras.saving.register_keras_serializable(package="tests")
class Block(layers.Layer):
    """Layers in an attribute, in a list and under two names; it builds one of them by itself."""

    def __init__(self, units, use_bias=True, **kwargs):
        super().__init__(**kwargs)
        self.units, self.use_bias = units, use_bias
        self.first = layers.Dense(units, use_bias=use_bias)
        self.rest = [layers.Dense(units, use_bias=use_bias), layers.LayerNormalization()]
        self.tail = {"one": layers.Dense(units), "same": self.first}
        self.scale = self.add_weight(shape=(), initializer="ones", name="scale")

    def build(self, input_shape):
        self.first.build(input_shape)

    def call(self, x):
        x = keras.ops.tanh(self.first(x)) * self.scale
        for layer in self.rest:
            x = layer(x)
        return x + self.tail["one"](self.tail["same"](x))

    def get_config(self):
        return {**super().get_config(), "units": self.units, "use_bias": self.use_bias}


@keras.saving.register_keras_serializable(package="tests")
class Net(keras.Model):
    """A subclassed model without a `get_config`: Keras notes its arguments."""

    def __init__(self, units=6, **kwargs):
        super().__init__(**kwargs)
        self.blocks = (Block(units), Block(units))
        self.body = keras.Sequential([layers.Dense(units, name="in_body"), layers.Dropout(0.2)])
        self.head = layers.Dense(2)

    def call(self, x, training=None):
        for block in self.blocks:
            x = block(x)
        return self.head(self.body(x, training=training))


@keras.saving.register_keras_serializable(package="tests")
class Late(layers.Layer):
    """Makes its layer in `build`."""

    def build(self, input_shape):
        self.dense = layers.Dense(3)
        self.dense.build(input_shape)

    def call(self, x):
        return self.dense(x)


@pytest.fixture
def x(rng):
    return rng.normal(size=(4, 6)).astype("float32")


def reloaded(model, folder):
    model.save(folder / "model.keras")
    return keras.saving.load_model(folder / "model.keras")


@pytest.mark.parametrize("use_bias", [True, False])
def test_a_layer_inside_a_functional_model(use_bias, x, rng, tmp_path):
    i = keras.Input((6,))
    block = Block(6, use_bias, name="block")
    model = keras.Model(i, layers.Dense(2, name="head")(block(block(i))))
    block.scale.assign(1.3)
    decorrelated, folded = round_trip(model, x, rng)
    converted = {row.path.split("/")[0] for row in decorrelated.conversion_report.converted}
    assert converted == {"block", "head"}
    assert len(decorrelated.decorrelation_layers) == 4
    new = decorrelated.get_layer("block")
    assert isinstance(new, Block) and type(new.first) is DecorDense
    assert new.tail["same"] is new.first and type(new.rest[0]) is DecorDense
    assert (
        bool(new.first.decorrelator.center) == use_bias
    )  # the folded layer must be as Block makes it
    assert decorrelated.get_layer("head").decorrelator.center
    assert type(folded.get_layer("block")) is Block
    assert_same(reloaded(decorrelated, tmp_path), decorrelated, x)
    again = reloaded(folded, tmp_path)
    assert_same(again, folded, x)
    assert type(again.get_layer("block").first) is layers.Dense


def test_a_subclassed_model(x, rng, tmp_path):
    model = Net(6)
    model(x)
    model.blocks[0].trainable = False
    decorrelated, folded = round_trip(model, x, rng)
    assert isinstance(decorrelated, Net) and type(folded) is Net
    assert len(decorrelated.conversion_report.converted) == 8
    assert not decorrelated.blocks[0].trainable and decorrelated.blocks[1].trainable
    assert type(decorrelated.body.layers[0]) is DecorDense
    again = reloaded(decorrelated, tmp_path)
    assert isinstance(again, Net)
    assert_same(again, decorrelated, x)
    assert_same(fold(again), decorrelated, x, 1e-4)
    assert_same(reloaded(folded, tmp_path), folded, x)


def test_a_subclassed_model_trains(x, rng):
    model = Net(6)
    model(x)
    model.compile("sgd", "mse", **EAGERLY)
    new = decorrelate(model)
    before = outputs(new, x)[0]
    new.fit(x, np.ones((4, 2)), epochs=2, verbose=0)
    assert np.abs(outputs(new, x)[0] - before).max() > 1e-3
    steps = {int(part.steps) for part in keras_decorr.training.decorrelation_layers(new)}
    assert steps >= {2}


def test_layers_inside_are_selected_by_path(x):
    i = keras.Input((6,))
    block = Block(6, name="block")
    model = keras.Model(i, layers.Dense(2, name="head")(block(i)))
    names = [layer.name for layer in (block.first, block.rest[0], block.tail["one"])]
    report = decorrelate(model, layers="block", exclude=block.rest[0]).conversion_report
    assert {row.path for row in report.converted} == {f"block/{names[0]}", f"block/{names[2]}"}
    report = decorrelate(model, layers=f"block/{names[1]}").conversion_report
    assert [row.path for row in report.converted] == [f"block/{names[1]}"]
    report = decorrelate(model, exclude=Block).conversion_report
    assert [row.path for row in report.converted] == ["head"]


def test_layers_that_are_made_when_built_are_left(x):
    i = keras.Input((6,))
    model = keras.Model(i, layers.Dense(2, name="head")(Late(name="late")(i)))
    new = decorrelate(model)
    assert_same(new, model, x)
    (row,) = new.conversion_report.left
    assert row.path == "late" and "make them in __init__" in row.reason


@keras.saving.register_keras_serializable(package="tests")
class WithOurs(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = DecorDense(3)

    def call(self, x):
        return self.dense(x)


def test_a_model_written_with_our_layers_folds(x, rng, tmp_path):
    model = WithOurs()
    model(x)
    disturb(model, rng)
    folded = fold(model)
    assert type(folded.dense) is layers.Dense
    assert_same(folded, model, x, 1e-4)
    assert_same(reloaded(folded, tmp_path), folded, x)


class Unregistered(layers.Layer):
    """One layer, and one made by a Keras layer that runs it at every step."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.dense = layers.Dense(units)
        self.steps = layers.TimeDistributed(layers.Dense(units))

    def call(self, x):
        return self.dense(x) + self.steps(x[:, None])[:, 0]

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def test_a_class_that_is_not_registered(x, rng, tmp_path):
    i = keras.Input((6,))
    model = keras.Model(i, layers.Dense(2)(Unregistered(6, name="block")(i)))
    decorrelated, folded = round_trip(model, x, rng)
    assert decorrelated.get_layer(
        "block"
    ).steps.decorrelator.center  # so its layers may have biases
    assert type(folded.get_layer("block")) is Unregistered
    decorrelated.save(tmp_path / "model.keras")
    known = {"Unregistered": Unregistered}
    again = keras.saving.load_model(tmp_path / "model.keras", custom_objects=known)
    assert_same(again, decorrelated, x)
    assert_same(fold(again), decorrelated, x, 1e-4)


class NoConfig(keras.Model):
    def __init__(self, dense, function):
        super().__init__()
        self.dense = dense

    def call(self, x):
        return self.dense(x)


def test_a_model_without_a_configuration_is_refused_with_a_way_out(x):
    model = NoConfig(layers.Dense(2), lambda x: x)
    model(x)
    with pytest.raises(ValueError, match=r"NoConfig 'no_config' cannot be copied.*`get_config`"):
        decorrelate(model)


class FromGraph(keras.Model):
    """A functional model with a constructor of its own."""

    def __init__(self, units):
        i = keras.Input((6,))
        super().__init__(i, layers.Dense(units)(i))
        self.units = units

    def get_config(self):
        return {"units": self.units}


class FromGraphWithStep(FromGraph):
    def train_step(self, data):
        return {}


class Stepping(keras.Model):
    """A functional model with the usual constructor."""

    def train_step(self, data):
        return {"mine": 0.0}


def test_functional_models_with_a_class(x, rng):
    decorrelated, folded = round_trip(FromGraph(3), x, rng)
    assert isinstance(decorrelated, keras_decorr.Model) and type(folded) is Functional
    with pytest.raises(ValueError, match=r"it defines \['train_step'\].*keras.Model\(model.inputs"):
        decorrelate(FromGraphWithStep(3))
    i = keras.Input((6,))
    decorrelated, folded = round_trip(Stepping(i, layers.Dense(3)(i)), x, rng)
    assert type(decorrelated) is Stepping and type(folded) is Stepping


class CannotTell(keras.Model):
    """Without an argument `training`."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = keras.layers.Dense(3)

    def call(self, x):
        return self.dense(x)


class CanTell(CannotTell):
    def call(self, x, training=None):
        return self.dense(x, training=training)


def test_a_model_that_cannot_tell_its_layers_that_they_train_is_warned_of(recwarn):
    for cls, warned in ((CanTell, False), (CannotTell, True)):
        model = cls()
        model(np.ones((2, 4), "float32"))
        recwarn.clear()
        new = decorrelate(model)
        assert any("M will not move" in str(w.message) for w in recwarn) == warned
        new.compile("sgd", "mse")
        new.fit(np.ones((4, 4), "float32"), np.ones((4, 3)), verbose=0)
        assert int(new.dense.decorrelation.steps) == (0 if warned else 1)
