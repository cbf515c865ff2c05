"""Small nets for the tests of the tapes."""

import keras
import numpy as np
from keras import ops

import keras_decorr
from keras_decorr.layers import DecorConv2D, DecorDense
from keras_decorr.tapes import NodePerturbationTape
from keras_decorr.training import decorrelation_layers
from tests.helpers import perturb, relative_error, undamped

mean_loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
sample_loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=None)


def layers(kind, decorrelated=True):
    rule = undamped(1e-2, sample_fraction=0.5, structure="full") if decorrelated else None
    arguments = {"decorrelator": rule, "activation": "tanh", "bias_initializer": "random_normal"}
    if kind == "dense":  # 20 units fold M, 5 do not, with 12 samples
        hidden = [keras.layers.Flatten(), DecorDense(20, **arguments), DecorDense(5, **arguments)]
    else:
        hidden = [
            DecorConv2D(4, 3, padding="same", **arguments),
            keras.layers.MaxPooling2D(2),
            DecorConv2D(3, 2, strides=2, **arguments),
            keras.layers.Flatten(),
        ]
    return [keras.Input((6, 6, 2)), *hidden, DecorDense(3, decorrelator=rule)]


def network(kind, rng, decorrelated=True, cls=keras_decorr.Sequential):
    model = cls(layers(kind, decorrelated))
    for layer in decorrelation_layers(model):
        perturb(layer, rng)
    return model


def data(rng, n=12):
    x = (rng.normal(size=(n, 6, 6, 2)) + 0.3).astype("float32")
    return x, rng.integers(0, 3, n).astype("int32")


def taped(tape_of, model, x, y, graph):
    """The gradients of a tape, and the tape."""
    return step_of(tape_of, model, graph)(x, y)


def step_of(tape_of, model, graph):
    """A function of a batch that gives the gradients of a tape, and the tape."""
    import tensorflow as tf

    tapes = []

    def step(x, y):
        with tape_of(model) as tape:
            if isinstance(tape, NodePerturbationTape):
                loss = sample_loss(tape.tile(y), model(tape.tile(x), training=True))
            else:
                loss = mean_loss(y, model(x, training=True))
        tapes.append(tape)
        return tape.gradient(loss, model.trainable_variables)

    run = tf.function(step) if graph else step

    def numbers(x, y):
        found = run(tf.constant(x), tf.constant(y))
        return [ops.convert_to_numpy(g) for g in found], tapes[-1]

    return numbers


def check(found, expected, bound):
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert np.linalg.norm(b) > 0
        assert relative_error(a, b) < bound


def steps(model):
    return [int(layer.steps) for layer in decorrelation_layers(model)]
