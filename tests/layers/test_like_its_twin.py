"""The attributes of the Keras layer, on the layer that holds it."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_decorr import layers


def test_attributes_of_the_twin_are_those_of_the_layer():
    conv = layers.DecorConv2D(3, 2, strides=2, activation="relu")
    assert (conv.filters, conv.kernel_size, conv.strides) == (3, (2, 2), (2, 2))
    assert conv.activation is keras.activations.relu and conv.use_bias
    recurrent = layers.DecorRNN(keras.layers.LSTM(4, return_sequences=True, stateful=True))
    assert recurrent.units == 4 and recurrent.return_sequences
    recurrent(np.ones((2, 3, 5), "float32"))
    assert float(ops.sum(ops.abs(recurrent.layer.states[0]))) > 0
    recurrent.reset_states()
    assert float(ops.sum(ops.abs(recurrent.layer.states[0]))) == 0
    for name in ("units", "nonsense", "_private"):
        with pytest.raises(AttributeError, match=f"'DecorConv2D' object has no attribute '{name}'"):
            getattr(conv, name)
