"""Small nets and searches for the tests of tuning."""

import keras

import keras_decorr
from keras_decorr.tuning import DecorHyperModel

EAGER = {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"], "run_eagerly": True}


def plain():
    return keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(5, activation="relu", use_bias=False),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )


def net(decorrelator, learning_rule):
    return keras_decorr.Sequential(
        [
            keras.Input((6,)),
            keras_decorr.layers.DecorDense(4, activation="relu", decorrelator=decorrelator),
            keras_decorr.layers.DecorDense(2, activation="softmax", decorrelator=None),
        ]
    )


def rate_of(model):
    return float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))


def small_search():
    return DecorHyperModel(
        net, learning_rates=(1e-3, 1e30), decorrelation_rates=(0, 1e-3), seed=0, **EAGER
    )


def ended(tuner, data, **arguments):
    x, y = data
    tuner.search(x, y, validation_data=(x, y), batch_size=16, verbose=0, **arguments)
    return {
        (t.hyperparameters.get("learning_rate"), t.status) for t in tuner.oracle.trials.values()
    }
