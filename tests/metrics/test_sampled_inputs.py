"""The rows that a decorrelation sees, before and after M."""

import keras
import numpy as np
from keras import ops

import keras_decorr
from keras_decorr.layers import (
    DecorDense,
)
from keras_decorr.metrics.sampled_inputs import names_of, sampled_inputs
from tests.helpers import perturb, undamped


def test_masked_steps_are_not_among_the_sampled():
    tokens = np.array([[1, 2, 0, 0], [3, 4, 1, 0]])
    model = keras_decorr.Sequential(
        [keras.Input((4,)), keras.layers.Embedding(5, 3, mask_zero=True), DecorDense(2)]
    )
    (seen,) = keras_decorr.metrics.sampled_inputs(model, tokens)
    table = ops.convert_to_numpy(model.layers[0].embeddings)
    np.testing.assert_allclose(seen.raw, table[tokens[tokens > 0]], rtol=1e-6)
    np.testing.assert_allclose(seen.centred.mean(0), 0.0, atol=1e-6)


def test_rows_before_and_after_m(rng):
    layer = DecorDense(2, decorrelator=undamped(structure="full"), name="out")
    model = keras_decorr.Sequential([keras.Input((5,)), layer])
    perturb(layer.decorrelation, rng)
    x = (rng.normal(size=(30, 5)) + 2.0).astype("float32")
    (seen,) = sampled_inputs(model, x)
    M = ops.convert_to_numpy(layer.decorrelation.matrices[0])
    assert (seen.name, seen.layer) == ("out", layer.decorrelation)
    np.testing.assert_allclose(seen.raw, x, rtol=1e-6)
    np.testing.assert_allclose(seen.centred, x - x.mean(0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(seen.decorrelated, seen.centred @ M.T, rtol=1e-4, atol=1e-4)
    (few,) = sampled_inputs(model, x, max_rows=7)
    np.testing.assert_allclose(few.raw, x[:7], rtol=1e-6)


def test_two_layers_of_one_name_get_names_of_their_own(rng):
    parts = [keras.Sequential([keras.Input((4,)), DecorDense(4, name="same")]) for _ in range(2)]

    class Pair(keras.Model):
        def __init__(self):
            super().__init__()
            self.a, self.b = parts[0].layers[0], parts[1].layers[0]

        def call(self, x):
            return self.b(self.a(x))

    model = Pair()
    model(np.ones((2, 4), "float32"))
    layers = keras_decorr.training.decorrelation_layers(model)
    assert names_of(layers, model) == ["same", "same#2"]
