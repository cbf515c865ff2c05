"""What the tests of the lateral rules share."""

import keras
import numpy as np

import keras_decorr
from keras_decorr.decorrelators import Foldiak, Recurrent
from keras_decorr.layers import Decorrelation

ETA = 0.05
ALL_ROWS = {"sample_fraction": 1.0, "max_samples": None}
CLOSE = {"tolerance": 1e-6, "steps": 500}
QUICK = {"tolerance": 1e-5, "steps": 100}  # float32 reaches it, so that it ends
RULES = {"recurrent": Recurrent, "foldiak": Foldiak}


def make(rule, **arguments):
    if rule == "recurrent":
        arguments = {"gain_rate": 1.0, **arguments}
    return RULES[rule](
        **{"learning_rate": ETA, "structure": "full", **ALL_ROWS, **CLOSE, **arguments}
    )


def trained(decorrelator, X):
    """A `Decorrelation`, and a function that takes steps on all rows `X` together, compiled."""
    layer = Decorrelation(decorrelator)
    model = keras_decorr.Sequential([keras.Input(X.shape[1:]), layer, keras.layers.Dense(1)])
    model.compile("sgd", "mse")

    def steps(count):
        rows = np.tile(X, (count, 1))
        model.fit(rows, rows[:, :1], batch_size=len(X), shuffle=False, verbose=0)

    return layer, steps
