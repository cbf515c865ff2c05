"""The state of a layer in its copy."""

import keras
import numpy as np
from keras import layers

from keras_decorr import fold
from tests.conversion.nets import assert_same, decorrelate, numpy, round_trip
from tests.helpers import undamped


def images(rng, *shape):
    return rng.normal(size=shape).astype("float32")


def test_layers_with_state_beside_their_weights(rng):
    i = keras.Input((6,))
    normalization = layers.Normalization()
    normalization.adapt(images(rng, 50, 6) * 3 + 1)
    x = layers.Rescaling(0.5)(normalization(i))
    x = layers.BatchNormalization()(layers.Lambda(lambda x: x * 2)(x))
    model = keras.Model(i, layers.Dense(3)(x))
    assert_same(decorrelate(model, undamped(center=False)), model, images(rng, 4, 6))
    round_trip(model, images(rng, 4, 6), rng)


def test_a_vocabulary_survives(tensorflow_only):
    words = keras.Input((1,), dtype="string")
    lookup = layers.StringLookup()
    lookup.adapt([["a", "b", "b", "c"]])
    x = layers.Flatten()(layers.Embedding(5, 4)(lookup(words)))
    model = keras.Model(words, layers.Dense(2)(x))
    new = decorrelate(model)
    import tensorflow as tf

    text = tf.constant([["b"], ["c"], ["z"]])
    np.testing.assert_allclose(numpy(new(text)), numpy(model(text)), atol=1e-6)


def test_seeds_survive(rng):
    model = keras.Sequential([keras.Input((6,)), layers.Dense(50), layers.Dropout(0.5, seed=3)])
    x = images(rng, 2, 6)
    model(x, training=True)
    new = decorrelate(model, undamped(0.0, center=False))
    ours, theirs = numpy(new(x, training=True)), numpy(model(x, training=True))
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_frozen_layers_stay_frozen(rng):
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
    back = fold(new)
    for copy in (new, back):
        assert not copy.layers[0].trainable and not copy.layers[0].get_layer("a").trainable
        assert copy.layers[0].get_layer("b").trainable and not copy.layers[1].trainable
        assert len(copy.trainable_weights) == len(model.trainable_weights)
    assert not new.layers[0].get_layer("a").decorrelation.trainable
