"""The rows that a decorrelation sees, before and after M."""

import keras
import numpy as np
from keras import ops

import keras_decorr
from keras_decorr.layers import (
    DecorDense,
)


def test_masked_steps_are_not_among_the_sampled():
    tokens = np.array([[1, 2, 0, 0], [3, 4, 1, 0]])
    model = keras_decorr.Sequential(
        [keras.Input((4,)), keras.layers.Embedding(5, 3, mask_zero=True), DecorDense(2)]
    )
    (seen,) = keras_decorr.metrics.sampled_inputs(model, tokens)
    table = ops.convert_to_numpy(model.layers[0].embeddings)
    np.testing.assert_allclose(seen.raw, table[tokens[tokens > 0]], rtol=1e-6)
    np.testing.assert_allclose(seen.centred.mean(0), 0.0, atol=1e-6)
