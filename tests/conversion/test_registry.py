"""Layers of a user's own in the conversion."""

import keras
import pytest
from keras import layers, ops

from keras_decorr import conversion, fold
from keras_decorr.conversion.registry import decorrelating, folding
from keras_decorr.layers import Decorrelation
from tests.conversion.nets import assert_same, decorrelate, disturb


@keras.saving.register_keras_serializable(package="tests")
class Doubled(layers.Dense):
    def call(self, inputs, training=None):
        return 2.0 * super().call(inputs)


@keras.saving.register_keras_serializable(package="tests")
class DecorDoubled(layers.Layer):
    """What a user writes: a Decorrelation and the layer of their own."""

    def __init__(self, layer, decorrelator, **kwargs):
        super().__init__(**kwargs)
        self.layer = layer
        self.decorrelation = Decorrelation(decorrelator)

    def build(self, input_shape):
        self.decorrelation.build(input_shape)
        self.layer.build(input_shape)

    def call(self, inputs, training=None):
        return self.layer(self.decorrelation(inputs, training=training))

    def load_plain(self, layer):
        self.layer.set_weights(layer.get_weights())

    def folded_weights(self):
        kernel, bias = self.layer.get_weights()
        kernel = ops.convert_to_numpy(self.decorrelation.fold(ops.convert_to_tensor(kernel)))
        return [kernel, bias - ops.convert_to_numpy(self.decorrelation.moving_mean) @ kernel]


@pytest.fixture
def clean():
    before = dict(decorrelating._functions), dict(folding._functions)
    yield
    decorrelating._functions, folding._functions = before


@pytest.fixture
def model():
    return keras.Sequential([keras.Input((6,)), Doubled(4, name="mine"), layers.Dense(2)])


def test_a_subclass_of_a_keras_layer_is_not_taken_for_it(model):
    row, other = decorrelate(model).conversion_report.rows
    assert not row.converted and other.converted
    assert "Doubled is a subclass of Dense" in row.reason and "conversion.register" in row.reason


def test_a_layer_of_the_users_own(model, clean, rng):
    @conversion.register(Doubled)
    def decorrelate_mine(layer, decorrelator):
        if layer.units == 1:
            return "a single unit"
        return DecorDoubled(Doubled.from_config(layer.get_config()), decorrelator, name=layer.name)

    @conversion.register_fold(DecorDoubled)
    def fold_mine(layer):
        return Doubled.from_config(layer.layer.get_config())

    x = rng.normal(size=(3, 6)).astype("float32")
    new = decorrelate(model)
    assert [row.into for row in new.conversion_report.rows] == ["DecorDoubled", "DecorDense"]
    assert_same(new, model, x)
    disturb(new, rng)
    assert_same(fold(new), new, x, 1e-4)
    single = keras.Sequential([keras.Input((6,)), Doubled(1), layers.Dense(2)])
    assert decorrelate(single).conversion_report.left[0].reason == "a single unit"


def test_a_decorrelating_layer_that_nothing_folds_is_an_error(clean, rng):
    class Own(layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.decorrelation = Decorrelation()

        def build(self, input_shape):
            self.decorrelation.build(input_shape)

        def call(self, x):
            return self.decorrelation(x)

    @conversion.register_fold(Own)
    def refuse(layer):
        return "it is one of a kind"

    model = keras.Sequential([keras.Input((6,)), Own(name="own")])
    with pytest.raises(ValueError, match=r"Layer 'own' cannot be folded: it is one of a kind"):
        fold(model)


def test_a_decorrelation_by_itself_folds_to_a_dense_layer(rng):
    model = keras.Sequential([keras.Input((5, 6)), Decorrelation(), layers.Dense(2)])
    disturb(model, rng)
    folded = fold(model)
    assert [type(layer) for layer in folded.layers] == [layers.Dense, layers.Dense]
    assert_same(folded, model, rng.normal(size=(3, 5, 6)).astype("float32"), 1e-4)


def test_only_types_can_be_registered():
    with pytest.raises(ValueError, match=r"layer types. Received: 'Dense'"):
        conversion.register("Dense")
