"""Copies of layers and models, with their state."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_decorr import fold
from keras_decorr.conversion.copying import copied
from tests.conversion.nets import assert_same, decorrelate, numpy, round_trip
from tests.helpers import undamped


@pytest.fixture
def x(rng):
    return rng.normal(size=(4, 6)).astype("float32")


def scale(x):
    return SCALE * x


SCALE = 3.0


def net():
    i = keras.Input((6,))
    shared = layers.Dense(6, name="shared")
    inner = keras.Sequential([keras.Input((6,)), layers.Dense(6), layers.Dropout(0.5)], name="in")
    return keras.Model(i, layers.Activation(scale)(inner(shared(shared(i)))))


def test_a_copy_has_the_layers_and_variables_by_those_of_the_original(x):
    model = net()
    model.compile("sgd", "mse")
    new, of_layers, of_variables = copied(model)
    assert type(new) is type(model) and new is not model and not new.compiled
    assert_same(new, model, x)
    ours, theirs = list(new._flatten_layers()), list(model._flatten_layers())
    assert [of_layers[id(layer)] for layer in theirs] == ours
    assert [layer.name for layer in ours] == [layer.name for layer in theirs]
    assert [id(of_variables[id(v)]) for v in model.weights] == [id(v) for v in new.weights]
    assert not {id(v) for v in new.variables} & {id(v) for v in model.variables}
    new.get_layer("shared").kernel.assign(np.zeros((6, 6)))
    assert numpy(model.get_layer("shared").kernel).any()


def test_layers_are_edited_as_they_are_copied():
    def edit(config):
        if config["class_name"] == "Dropout":
            config["config"] = {**config["config"], "rate": 0.25}
        return config

    model = net()
    new, *_ = copied(model, edit)
    rates = [m.get_layer("in").layers[1].rate for m in (model, new)]
    assert rates == [0.5, 0.25]


@pytest.mark.parametrize("kind", ["sequential", "functional", "inside"])
def test_a_lambda_may_use_the_names_of_its_module(kind, x, rng):
    """../shared/cases/models/04."""
    parts = [layers.Dense(4), layers.Lambda(lambda x: keras.ops.tanh(x) * SCALE), layers.Dense(2)]
    model = keras.Sequential([keras.Input((6,)), *parts])
    if kind != "sequential":
        i = keras.Input((6,))
        model = keras.Model(i, parts[2](parts[1](parts[0](i))))
    if kind == "inside":
        i = keras.Input((6,))
        model = keras.Model(i, layers.Dense(2)(model(i)))
    _, folded = round_trip(model, x, rng)
    lambdas = [part for part in folded._flatten_layers() if isinstance(part, layers.Lambda)]
    assert lambdas[0].function is parts[1].function


class Own(layers.Layer):
    """Neither registered, nor to be made with the arguments that Keras knows."""

    def __init__(self, units, of_process=None, **kwargs):
        super().__init__(**kwargs)
        self.units, self.of_process, self.dense = units, of_process, layers.Dense(units)

    def call(self, x):
        return self.dense(x)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def test_classes_need_not_be_registered(x):
    class Local(Own):
        pass

    model = keras.Sequential([keras.Input((6,)), Own(4), Local(3)])
    new, *_ = copied(model)
    assert [type(layer) for layer in new.layers] == [Own, Local]
    assert_same(new, model, x)


class Forgetful(Own):
    def get_config(self):
        return {"name": self.name}


class Another(Own):
    @classmethod
    def from_config(cls, config):
        return Own(**config)


class Smaller(Own):
    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "units": 2})


class More(Own):
    @classmethod
    def from_config(cls, config):
        layer = cls(**config)
        layer.another = layers.Dense(3)
        return layer


@pytest.mark.parametrize(
    ("cls", "said"),
    [
        (Forgetful, "TypeError"),
        (Another, "is a Own, no Another"),
        (Smaller, "shape"),
        (More, "ValueError"),
    ],
)
def test_what_its_configuration_does_not_give_back_is_refused_with_a_way_out(cls, said):
    model = keras.Sequential([keras.Input((6,)), cls(4, name="odd")], name="net")
    with pytest.raises(ValueError, match=rf"(?s)cannot copy Sequential 'net': .*{said}") as error:
        copied(model)
    assert "`get_config`" in str(error.value) and "`inplace=True`" in str(error.value)


def test_layers_with_state_beside_their_weights(x, rng):
    i = keras.Input((6,))
    normalization = layers.Normalization()
    normalization.adapt(rng.normal(size=(50, 6)).astype("float32") * 3 + 1)
    y = layers.Rescaling(0.5)(normalization(i))
    y = layers.BatchNormalization()(layers.Lambda(lambda x: x * 2)(y))
    model = keras.Model(i, layers.Dense(3)(y))
    assert_same(decorrelate(model, undamped(center=False)), model, x)
    round_trip(model, x, rng)


def test_a_vocabulary_survives(tensorflow_only):
    import tensorflow as tf

    words = keras.Input((1,), dtype="string")
    lookup = layers.StringLookup()
    lookup.adapt([["a", "b", "b", "c"]])
    x = layers.Flatten()(layers.Embedding(5, 4)(lookup(words)))
    model = keras.Model(words, layers.Dense(2)(x))
    text = tf.constant([["b"], ["c"], ["z"]])
    new = decorrelate(model)
    for copy in (new, fold(new)):
        np.testing.assert_allclose(numpy(copy(text)), numpy(model(text)), atol=1e-6)


def test_seeds_survive(rng):
    model = keras.Sequential([keras.Input((6,)), layers.Dense(50), layers.Dropout(0.5, seed=3)])
    x = rng.normal(size=(2, 6)).astype("float32")
    model(x, training=True)
    new = decorrelate(model, undamped(0.0, center=False))
    folded = fold(new)
    expected = numpy(model(x, training=True))
    for copy in (new, folded):
        np.testing.assert_allclose(numpy(copy(x, training=True)), expected, atol=1e-6)


def test_frozen_layers_stay_frozen():
    inner = keras.Sequential(
        [keras.Input((6,)), layers.Dense(6, name="a"), layers.Dense(6, name="b")]
    )
    model = keras.Sequential(
        [keras.Input((6,)), inner, layers.BatchNormalization(), layers.Dense(2)]
    )
    inner.trainable = False
    inner.get_layer("b").trainable = True
    model.layers[1].trainable = False
    new = decorrelate(model)
    for copy in (new, fold(new)):
        assert not copy.layers[0].trainable and not copy.layers[0].get_layer("a").trainable
        assert copy.layers[0].get_layer("b").trainable and not copy.layers[1].trainable
        assert len(copy.trainable_weights) == len(model.trainable_weights)
    assert not new.layers[0].get_layer("a").decorrelation.trainable
    assert new.layers[0].get_layer("b").decorrelation.trainable


def test_a_stateful_layer_keeps_its_state(rng):
    i = keras.Input((5, 6), batch_size=4)
    model = keras.Model(i, layers.Dense(2)(layers.GRU(3, stateful=True)(i)))
    x = rng.normal(size=(4, 5, 6)).astype("float32")
    model(x)
    new = decorrelate(model)
    folded = fold(new)
    for _ in range(2):
        expected = numpy(model(x))
        for copy in (new, folded):
            np.testing.assert_allclose(numpy(copy(x)), expected, atol=1e-5)


def test_dtype_policies_survive(x):
    i = keras.Input((6,))
    y = layers.Dense(8, dtype="mixed_bfloat16", name="half")(i)
    model = keras.Model(i, layers.Dense(2, dtype="float32", name="whole")(y))
    new = decorrelate(model)
    folded = fold(new)
    for copy in (new, folded):
        assert copy.get_layer("half").compute_dtype == "bfloat16"
        assert copy.get_layer("half").variable_dtype == "float32"
        assert copy.get_layer("whole").compute_dtype == "float32"
    assert_same(folded, model, x, 2e-2)
