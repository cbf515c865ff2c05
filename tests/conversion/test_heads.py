"""Which layers make the outputs, and that they stay plain."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_decorr import decorrelate


def sequential(*after):
    return keras.Sequential([
        keras.Input((6, 6, 2)),
        layers.Conv2D(3, 3, name="conv"),
        layers.Flatten(),
        layers.Dense(4, name="hidden"),
        layers.Dense(2, name="head"),
        *after,
    ])  # fmt: skip


def two_outputs():
    x = inputs = keras.Input((5,))
    x = layers.Dense(4, name="hidden")(x)
    one = layers.Dense(2, name="one")(layers.Dropout(0.5)(x))
    two = layers.Dense(3, name="two")(layers.Dense(4, name="before")(x))
    return keras.Model(inputs, [one, layers.Softmax()(two)])


def nested():
    inputs = keras.Input((5,))
    one, two = two_outputs()(inputs)
    return keras.Model(inputs, {"a": layers.Softmax()(one), "b": two})


def residual():
    """The sum is no linear map alone: nothing is the head."""
    x = inputs = keras.Input((5,))
    y = layers.Dense(5, name="hidden")(x)
    return keras.Model(inputs, layers.Add()([x, layers.Dense(5, name="branch")(y)]))


def normalised():
    x = inputs = keras.Input((5,))
    x = layers.Dense(5, name="one")(x)
    return keras.Model(inputs, layers.LayerNormalization()(layers.Dense(5, name="two")(x)))


def alone():
    return keras.Sequential([keras.Input((5,)), layers.Dense(2, name="alone")])


@keras.saving.register_keras_serializable(package="test_heads")
class Subclassed(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first = layers.Dense(4, name="first")
        self.last = layers.Dense(2, name="last")

    def call(self, inputs, training=None):
        return self.last(self.first(inputs))


def subclassed():
    model = Subclassed()
    model(np.zeros((1, 5), "float32"))
    return model


CASES = {
    "sequential": (sequential, {"conv", "hidden"}),
    "activation behind": (lambda: sequential(layers.Activation("softmax")), {"conv", "hidden"}),
    "two outputs": (two_outputs, {"hidden", "before"}),
    "nested": (nested, {"hidden", "before"}),
    "residual": (residual, {"hidden", "branch"}),
    "normalised": (normalised, {"one", "two"}),
    "alone": (alone, {"alone"}),
    "subclassed": (subclassed, {"first"}),
}


def converted(model):
    return {row.path.split("/")[-1] for row in model.conversion_report.converted}


@pytest.mark.parametrize("name", CASES)
def test_the_layers_of_the_outputs_stay_plain(name):
    build, expected = CASES[name]
    assert converted(decorrelate(build())) == expected


def test_what_is_asked_for_is_converted():
    assert converted(decorrelate(sequential(), head=True)) == {"conv", "hidden", "head"}
    assert converted(decorrelate(sequential(), layers=["head"])) == {"head"}
    assert converted(decorrelate(sequential(), layers=layers.Dense)) == {"hidden", "head"}


def test_the_report_names_the_argument():
    (row,) = decorrelate(sequential()).conversion_report.left
    assert (row.path, row.reason) == ("head", "makes the outputs: see the argument `head`")
