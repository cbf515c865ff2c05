"""Calling a model as a training step does, with or without the argument."""

import keras

from keras_decorr.layers.call import call_in_training, takes_training


class Telling(keras.layers.Layer):
    def call(self, x, training=None):
        return x + (2 if training else 1)


class Silent(keras.layers.Layer):
    def call(self, x):
        return x + 1


def test_the_argument_is_passed_where_there_is_one():
    assert takes_training(Telling()) and not takes_training(Silent())
    assert takes_training(keras.Sequential([keras.layers.Dense(1)]))
    x = keras.ops.zeros(1)
    assert float(call_in_training(Telling(), x)[0]) == 2.0
    assert float(call_in_training(Silent(), x)[0]) == 1.0
