"""Every decorrelating layer of the package can be folded."""

import numpy as np
import pytest
from keras import layers as plain

from keras_decorr import layers
from keras_decorr.conversion import DecorTimeDistributed
from keras_decorr.conversion.registry import folding
from keras_decorr.conversion.to_plain import twin
from tests.conversion.nets import numpy


@pytest.mark.parametrize("name", [*layers.__all__])
def test_every_exported_layer_is_registered(name):
    assert folding._functions[getattr(layers, name)] is twin


def test_the_twin_does_the_same_in_inference(rng):
    layer = DecorTimeDistributed(layers.DecorDense(3))
    x = rng.normal(size=(4, 6, 5)).astype("float32")
    layer(x, training=True)
    folded = folding.convert(layer)
    assert type(folded) is plain.TimeDistributed
    folded.build(x.shape)
    folded.set_weights(layer.folded_weights())
    np.testing.assert_allclose(numpy(folded(x)), numpy(layer(x)), rtol=1e-4, atol=1e-5)
