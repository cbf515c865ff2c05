"""What is particular to DecorMultiHeadAttention: the inputs of its projections."""

import numpy as np

from keras_decorr.layers import DecorMultiHeadAttention
from tests.helpers import undamped
from tests.layers.twins import numpy


def test_the_projections_decorrelate_their_own_inputs(rng):
    """The query's statistics are those of the query, the output's those of the heads."""
    query, value = ((rng.normal(size=(3, t, 8)) + 0.2).astype("float32") for t in (5, 7))
    # Keras's attention on JAX takes no value_dim of its own.
    layer = DecorMultiHeadAttention(2, key_dim=3, decorrelator=undamped(sample_fraction=1.0))
    layer(query, value, training=True)
    for projection, x in ((layer.query_dense, query), (layer.value_dense, value)):
        mean = numpy(projection.decorrelation.moving_mean)
        np.testing.assert_allclose(mean, x.reshape(-1, 8).mean(0), atol=1e-6)
    assert layer.output_dense.features == 2 * 3
    assert layer.features == 8
