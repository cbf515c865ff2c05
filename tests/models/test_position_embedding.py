"""A learned vector for each token."""

import keras
import numpy as np

from keras_decorr.models.position_embedding import PositionEmbedding


def test_every_token_gets_the_vector_of_its_position(rng):
    layer = PositionEmbedding()
    x = rng.normal(size=(3, 5, 4)).astype("float32")
    y = keras.ops.convert_to_numpy(layer(x))
    table = keras.ops.convert_to_numpy(layer.embeddings)
    assert table.shape == (5, 4)
    assert 0.0 < np.abs(table).max() < 0.2  # of a deviation of 0.02
    np.testing.assert_allclose(y, x + table, rtol=1e-6)
    assert layer.compute_output_shape((None, 5, 4)) == (None, 5, 4)


def test_it_is_made_again_from_its_configuration(rng):
    layer = PositionEmbedding("ones", name="positions")
    again = PositionEmbedding.from_config(layer.get_config())
    x = rng.normal(size=(2, 3, 4)).astype("float32")
    np.testing.assert_allclose(keras.ops.convert_to_numpy(again(x)), x + 1.0, rtol=1e-6)
    assert again.name == "positions"
