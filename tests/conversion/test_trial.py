"""The outputs of a model on random inputs, before and after."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_decorr.conversion.trial import Trial
from tests.conversion.nets import numpy


def dense(name=None):
    return layers.Dense(3, name=name)


class Two(layers.Layer):
    """A layer of two inputs."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.one, self.two = layers.Dense(3), layers.Dense(3)

    def build(self, a_shape, b_shape):
        self.one.build(a_shape)
        self.two.build(b_shape)

    def call(self, a, b):
        return self.one(a) + self.two(b)


class OfDicts(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(3)

    def call(self, inputs):
        return {"y": self.dense(inputs["a"]) + inputs["b"]}


def functional():
    i = keras.Input((None, 4))
    return keras.Model(i, layers.Dense(3, name="dense")(i))


def two():
    layer = Two()
    layer(np.ones((2, 4), "float32"), np.ones((2, 5), "float32"))
    return layer


def of_dicts():
    model = OfDicts()
    model({"a": np.ones((2, 4), "float32"), "b": np.ones((2, 3), "float32")})
    return model


def indices():
    i = keras.Input((7,), dtype="int32")
    return keras.Model(i, layers.Embedding(2, 3)(i))


def images():
    """Too small an image leaves nothing behind the convolution."""
    i = keras.Input((None, None, 2))
    return keras.Model(i, layers.Conv2D(3, 12)(i))


MODELS = {
    "sequential": lambda: keras.Sequential([keras.Input((4,)), dense()]),
    "functional": functional,
    "several arguments": two,
    "dictionaries": of_dicts,
    "indices": indices,
    "images of any size": images,
}


@pytest.mark.parametrize("name", MODELS)
def test_models_of_every_kind_are_tried(name):
    model = MODELS[name]()
    trial = Trial(model)
    trial.check(model, "")
    for variable in model.weights:
        variable.assign(variable * 1.1 + 0.1)
    with pytest.raises(ValueError, match=f"the model '{model.name}' has other outputs.*Ask me"):
        trial.check(model, "Ask me.")


def test_a_trial_changes_no_state():
    model = keras.Sequential(
        [keras.Input((4,)), layers.BatchNormalization(), layers.Dropout(0.5, seed=1)]
    )
    before = [numpy(v).copy() for v in model.variables]
    Trial(model).check(model, "")
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(numpy(variable), value)


class Noisy(layers.Layer):
    def call(self, x):
        return x + float(np.random.normal())


class Choosy(layers.Layer):
    def call(self, x):
        raise RuntimeError("not with these")

    def compute_output_shape(self, input_shape):
        return input_shape


@pytest.mark.parametrize("cls", [Noisy, Choosy])
def test_outputs_by_chance_and_inputs_that_do_not_suit_are_not_compared(cls):
    model = keras.Sequential([keras.Input((4,)), dense("dense"), cls()])
    trial = Trial(model)
    model.get_layer("dense").bias.assign(np.ones(3))
    trial.check(model, "")


def test_the_first_layer_that_differs_is_named():
    def net():
        return keras.Sequential(
            [keras.Input((4,)), dense("one"), dense("two"), dense("three")], name="net"
        )

    ours, theirs = net(), net()
    theirs.set_weights(ours.get_weights())
    trial = Trial(ours)
    trial.check(theirs, "")
    theirs.get_layer("two").bias.assign(np.ones(3))
    with pytest.raises(ValueError, match=r"other outputs, first the layer '[\w/]*two'"):
        trial.check(theirs, "")
    bias = ours.get_layer("two").bias
    bias.assign(np.ones(3))
    with pytest.raises(ValueError, match=r"other outputs, first the layer '[\w/]*two'"):
        trial.check(ours, "", undo=lambda: bias.assign(np.zeros(3)))


def test_an_error_of_the_new_model_is_named():
    def net(*more):
        return keras.Sequential([keras.Input((4,)), *more])

    trial = Trial(net(dense()))
    with pytest.raises(ValueError, match=r"(?s)cannot be called: RuntimeError: .*not with these"):
        trial.check(net(Choosy()), "")
