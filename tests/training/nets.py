"""Small nets and data for the tests of training."""

import keras
from keras import ops

import keras_decorr
from keras_decorr.layers import DecorConv2D, DecorDense
from keras_decorr.training import decorrelation_layers
from tests.helpers import undamped


def numpy(x):
    return ops.convert_to_numpy(x)


def decorrelator(**arguments):
    return undamped(
        **{"learning_rate": 1e-2, "sample_fraction": 1.0, "structure": "full", **arguments}
    )


def layers(**arguments):
    return [
        keras.Input((6, 6, 2)),
        DecorConv2D(4, 3, activation="relu", decorrelator=decorrelator(**arguments)),
        keras.layers.Flatten(),
        DecorDense(3, activation="softmax", decorrelator=decorrelator(**arguments)),
    ]


def sequential(cls=keras_decorr.Sequential, **arguments):
    keras.utils.set_random_seed(1)
    return cls(layers(**arguments))


class Subclassed(keras_decorr.Model):
    """No `training` argument: the step must reach its layers all the same."""

    def __init__(self):
        super().__init__()
        self.first = DecorDense(5, activation="relu", decorrelator=decorrelator())
        self.second = DecorDense(3, activation="softmax", decorrelator=decorrelator())

    def call(self, x):
        return self.second(self.first(keras.ops.reshape(x, (-1, 72))))


def compiled(model, **arguments):
    arguments = {"optimizer": keras.optimizers.SGD(0.05), **arguments}
    model.compile(loss="sparse_categorical_crossentropy", **arguments)
    return model


def data(rng, n):
    x = rng.normal(size=(n, 6, 6, 2)).astype("float32")
    return x, rng.integers(0, 3, n).astype("int32")


def matrices(model):
    return [numpy(M).copy() for layer in decorrelation_layers(model) for M in layer.matrices]


def steps(model):
    return [int(layer.steps) for layer in decorrelation_layers(model)]
