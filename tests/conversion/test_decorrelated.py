"""Layers and models of a user's own class, converted, saved and loaded."""

import copy
import pickle

import keras
import numpy as np
import pytest
from keras import layers

import keras_decorr
from keras_decorr import fold
from keras_decorr.conversion.decorrelated import (
    Decorrelated,
    build_config,
    is_standard,
    numbered_layers,
    plain_layers,
)
from keras_decorr.layers import DecorDense
from keras_decorr.layers.twin import DecorrelatingTwin
from tests.conversion.nets import (
    assert_same,
    decorrelate,
    differs,
    disturb,
    outputs,
    reloaded,
    round_trip,
    steps,
)
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


@pytest.fixture
def net(x):
    model = Net(6)
    model(x)
    return model


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
    # The folded layer must be as Block makes it.
    assert bool(new.first.decorrelator.center) == use_bias
    assert decorrelated.get_layer("head").decorrelator.center
    assert type(folded.get_layer("block")) is Block
    assert_same(reloaded(decorrelated, tmp_path), decorrelated, x)
    again = reloaded(folded, tmp_path)
    assert_same(again, folded, x)
    assert type(again.get_layer("block").first) is layers.Dense


def test_a_subclassed_model(net, x, rng, tmp_path):
    net.blocks[0].trainable = False
    decorrelated, folded = round_trip(net, x, rng)
    assert isinstance(decorrelated, Net) and type(folded) is Net
    assert len(decorrelated.conversion_report.converted) == 8
    assert not decorrelated.blocks[0].trainable and decorrelated.blocks[1].trainable
    assert type(decorrelated.body.layers[0]) is DecorDense
    again = reloaded(decorrelated, tmp_path)
    assert isinstance(again, Net)
    assert_same(again, decorrelated, x)
    assert_same(fold(again), decorrelated, x, 1e-4)
    assert_same(reloaded(folded, tmp_path), folded, x)


def test_a_subclassed_model_trains_and_goes_on_once_it_is_loaded(net, x, tmp_path):
    net.compile("sgd", "mse", **EAGERLY)
    new = decorrelate(net)
    before = outputs(new, x)[0]
    logs = new.fit(x, np.ones((4, 2)), epochs=2, verbose=0).history
    assert np.isfinite(logs["decorrelation_loss"]).all()
    assert np.abs(outputs(new, x)[0] - before).max() > 1e-3
    assert steps(new) == [2] * 8
    again = reloaded(new, tmp_path)
    again.fit(x, np.ones((4, 2)), verbose=0)
    assert steps(again) == [3] * 8


@pytest.mark.parametrize("how", ["copy", "pickle", "clone", "json", "weights"])
def test_it_is_copied_as_other_models(how, net, x, rng, tmp_path):
    new = decorrelate(net)
    disturb(new, rng)
    if how == "copy":
        again = copy.deepcopy(new)
    elif how == "pickle":
        again = pickle.loads(pickle.dumps(new))
    else:
        if how == "clone":
            again = keras.models.clone_model(new)
        elif how == "json":
            again = keras.models.model_from_json(new.to_json())
        else:
            again = decorrelate(net)
        again(x)
        new.save_weights(tmp_path / "net.weights.h5")
        again.load_weights(tmp_path / "net.weights.h5")
    assert isinstance(again, Net) and again is not new
    assert_same(again, new, x)
    assert differs(again, net, x)
    assert_same(fold(again), new, x, 1e-4)


def test_layers_inside_are_selected_by_path():
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


def test_layers_that_are_made_when_built(x, rng, tmp_path):
    i = keras.Input((6,))
    model = keras.Model(i, layers.Dense(2, name="head")(Late(name="late")(i)))
    decorrelated, folded = round_trip(model, x, rng)
    assert len(decorrelated.conversion_report.converted) == 2
    assert_same(reloaded(decorrelated, tmp_path), decorrelated, x)
    assert_same(reloaded(folded, tmp_path), folded, x)


@keras.saving.register_keras_serializable(package="tests")
class WithOurs(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = DecorDense(3)

    def call(self, x):
        return self.dense(x)


def test_a_model_written_with_our_layers_folds_with_a_warning_of_its_files(x, rng, tmp_path):
    model = WithOurs()
    model(x)
    disturb(model, rng)
    assert_same(reloaded(model, tmp_path), model, x)
    with pytest.warns(UserWarning, match=r"WithOurs makes '\w+' a DecorDense.*cannot be loaded"):
        folded = fold(model)
    assert type(folded.dense) is layers.Dense
    assert_same(folded, model, x, 1e-4)


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
    assert decorrelated.get_layer("block").steps.decorrelator.center  # its layers have biases
    assert type(folded.get_layer("block")) is Unregistered
    again = reloaded(decorrelated, tmp_path, Unregistered)
    assert_same(again, decorrelated, x)
    assert_same(fold(again), decorrelated, x, 1e-4)


@keras.saving.register_keras_serializable(package="tests")
class Changing(layers.Layer):
    kind = layers.Dense

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner = self.kind(3, 1) if self.kind is layers.Conv1D else self.kind(3)

    def build(self, input_shape):
        self.inner.build(input_shape)

    def call(self, x):
        return self.inner(x)


def test_a_class_that_has_changed_since_it_was_saved(tmp_path, monkeypatch):
    model = keras.Sequential([keras.Input((5, 6)), Changing()])
    decorrelate(model).save(tmp_path / "model.keras")
    monkeypatch.setattr(Changing, "kind", layers.Conv1D)
    with pytest.raises(Exception, match=r"Changing makes other layers .* of the class Dense"):
        keras.saving.load_model(tmp_path / "model.keras")


class CannotTell(keras.Model):
    """Without an argument `training`."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(3)

    def call(self, x):
        return self.dense(x)


class CanTell(CannotTell):
    def call(self, x, training=None):
        return self.dense(x, training=training)


class CannotTellInItsStep(CannotTell):
    def train_step(self, *args):
        return super().train_step(*args)


@pytest.mark.parametrize(
    ("cls", "warned"), [(CanTell, False), (CannotTell, False), (CannotTellInItsStep, True)]
)
def test_a_model_whose_M_would_not_move_is_warned_of(cls, warned, recwarn):
    model = cls()
    model(np.ones((2, 4), "float32"))
    recwarn.clear()
    new = decorrelate(model)
    said = [str(w.message) for w in recwarn if "M will not move" in str(w.message)]
    assert len(said) == warned
    assert not warned or "The method `call` of CannotTellInItsStep has no" in said[0]
    new.compile("sgd", "mse")
    new.fit(np.ones((4, 4), "float32"), np.ones((4, 3)), verbose=0)
    assert steps(new) == [0 if warned else 1]


def test_what_it_knows_of_its_layers(net, x):
    assert [is_standard(part) for part in (net, net.body, net.head)] == [False, True, False]
    plain = list(plain_layers(net))
    new = decorrelate(net)
    assert isinstance(new, Decorrelated) and new.plain_class is Net
    assert not isinstance(new.blocks[0], Decorrelated)  # the outermost owner says it for all
    assert [layer.name for layer in plain_layers(new)] == [layer.name for layer in plain]
    before, after = numbered_layers(net), numbered_layers(new)
    assert [layer.name for layer in before.values()] == [layer.name for layer in plain]
    assert {place: layer.name for place, layer in before.items()} == {
        place: layer.name for place, layer in after.items()
    }
    assert sum(isinstance(layer, DecorrelatingTwin) for layer in after.values()) == 8
    assert new.get_build_config() is None and build_config(new) == build_config(net)
    assert isinstance(new, keras_decorr.training.step.DecorrelationStep)
