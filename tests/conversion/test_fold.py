"""From a decorrelating model to a plain one."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_decorr
from keras_decorr import fold
from keras_decorr.layers import DecorDense, Decorrelation, DecorRNN
from keras_decorr.layers.twin import TWINS
from tests.conversion.nets import assert_same, decorrelate, disturb, numpy, reloaded, round_trip


@pytest.fixture
def x(rng):
    return rng.normal(size=(4, 6)).astype("float32")


def test_every_exported_layer_can_be_folded():
    ours = {getattr(keras_decorr.layers, name) for name in keras_decorr.layers.__all__}
    assert ours - {Decorrelation, DecorRNN} == set(TWINS.values())


def test_layers_without_a_decorrelator_become_plain_with_the_others(x):
    parts = [DecorDense(4, decorrelator=None), DecorDense(2)]
    model = keras.Sequential([keras.Input((6,)), *parts])
    folded = fold(model)
    assert [type(layer) for layer in folded.layers] == [layers.Dense] * 2
    assert_same(folded, model, x)


def test_a_decorrelation_by_itself_becomes_a_dense_layer(rng):
    model = keras.Sequential([keras.Input((5, 6)), Decorrelation(), layers.Dense(2)])
    disturb(model, rng)
    folded = fold(model)
    assert [type(layer) for layer in folded.layers] == [layers.Dense, layers.Dense]
    assert_same(folded, model, rng.normal(size=(3, 5, 6)).astype("float32"), 1e-4)
    with pytest.raises(ValueError, match=r"'decorrelation\w*' cannot be folded: it is no part of"):
        fold(model, inplace=True)


def test_a_recurrent_layer_of_version_0_1_0(rng, tmp_path):
    model = keras_decorr.Sequential([keras.Input((5, 6)), DecorRNN(layers.GRU(3))])
    disturb(model, rng)
    folded = fold(model)
    x = rng.normal(size=(3, 5, 6)).astype("float32")
    assert_same(folded, model, x, 1e-4)
    assert_same(reloaded(folded, tmp_path), folded, x)
    assert type(folded.layers[0]) is layers.GRU


class Own(layers.Layer):
    """With a decorrelation that it uses by itself."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.decorrelation = Decorrelation(name="standing")

    def build(self, input_shape):
        self.decorrelation.build(input_shape)

    def call(self, x):
        return self.decorrelation(x)


def test_a_decorrelation_that_a_class_uses_by_itself_is_an_error():
    model = keras.Sequential([keras.Input((6,)), Own(name="own")])
    with pytest.raises(ValueError, match=r"Layer 'own/standing' cannot be folded.*class makes it"):
        fold(model)


class Tied(layers.Layer):
    """Uses a kernel beside the layer that has it."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.a, self.b = layers.Dense(3, name="a"), layers.Dense(6, name="b")

    def call(self, x):
        return keras.ops.tanh(self.a(x)) @ keras.ops.transpose(self.a.kernel) + self.b(x)


@pytest.mark.parametrize("inplace", [False, True])
def test_a_kernel_that_is_used_by_the_class_itself(inplace, x, rng):
    i = keras.Input((6,))
    model = keras.Model(i, layers.Dense(2)(Tied(name="tied")(i)))
    decorrelated = decorrelate(model)
    disturb(decorrelated, rng)
    before = [np.array(v) for v in map(numpy, decorrelated.variables)]
    with pytest.raises(ValueError, match=r"(?s)other outputs.*first.*'[\w/]*tied'.*exclude="):
        fold(decorrelated, inplace=inplace)
    for variable, value in zip(decorrelated.variables, before, strict=True):
        np.testing.assert_array_equal(numpy(variable), value)
    assert type(decorrelated.get_layer("tied").a) is DecorDense
    round_trip(model, x, rng, exclude="tied/a")


class Noisy(layers.Layer):
    """Has other outputs at every call, in inference, too."""

    def __init__(self, seeded, **kwargs):
        super().__init__(**kwargs)
        self.seeded, self.dense = seeded, layers.Dense(3)
        self.seed = keras.random.SeedGenerator(1)

    def call(self, x):
        if self.seeded:
            return self.dense(x) + keras.random.normal((1, 3), seed=self.seed)
        return self.dense(x) + float(np.random.normal())

    def get_config(self):
        return {**super().get_config(), "seeded": self.seeded}


@pytest.mark.parametrize("seeded", [True, False])
def test_outputs_by_chance_are_no_reason_against_folding(seeded, rng):
    model = keras.Sequential([keras.Input((6,)), Noisy(seeded)])
    decorrelated = decorrelate(model)
    disturb(decorrelated, rng)
    assert type(fold(decorrelated).layers[0].dense) is layers.Dense


def test_the_report_says_what_became_of_every_layer():
    model = keras.Sequential(
        [keras.Input((6,)), layers.Dense(4, name="a"), layers.LayerNormalization(name="norm")]
    )
    a, norm = fold(decorrelate(model)).conversion_report.rows
    assert (a.path, a.type, a.into, a.features) == ("a", "DecorDense", "Dense", 6)
    assert (norm.path, norm.converted, norm.reason) == ("norm", False, "does not decorrelate")


def test_the_optimizer_is_kept_by_a_copy_alone():
    model = decorrelate(keras.Sequential([keras.Input((6,)), layers.Dense(4)]))
    with pytest.raises(ValueError, match=r"`keep_optimizer` of fold is for a copy"):
        fold(model, keep_optimizer=True, inplace=True)
