"""The number of features is that of the M which a conversion makes."""

import keras
import pytest
from keras import layers

from keras_decorr.conversion.features import features


@pytest.mark.parametrize(
    ("layer", "shape", "expected", "of_pixels"),
    [
        (layers.Dense(3), (7,), 7, 7),
        (layers.Conv2D(3, (3, 2)), (8, 8, 5), 30, 5),
        (layers.Conv2D(4, 3, groups=2), (8, 8, 6), 27, 3),
        (layers.Conv1DTranspose(3, 4), (8, 5), 5, 5),
        (layers.DepthwiseConv2D((3, 2)), (8, 8, 5), 6, 6),
        (layers.SeparableConv1D(4, 3, depth_multiplier=2), (8, 5), 10, 10),
        (layers.SeparableConv1D(4, 9), (12, 5), 9, 5),
        (layers.EinsumDense("abcd,cde->abe", (None, 2)), (3, 4, 5), 20, 20),
        (layers.LSTM(3), (6, 7), 7, 7),
        (layers.TimeDistributed(layers.Dense(3)), (6, 7), 7, 7),
        (layers.BatchNormalization(), (7,), None, None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, layers.Layer) else "",
)
def test_of_each_type(layer, shape, expected, of_pixels):
    layer.build((None, *shape))
    assert features(layer, "patches") == expected
    assert features(layer, "pixels") == of_pixels


def test_of_attention_it_is_that_of_the_largest_projection():
    inputs = keras.Input((5, 6))
    layer = layers.MultiHeadAttention(4, 3)
    layer(inputs, inputs)
    assert features(layer, "patches") == 12  # of the output: four heads of three
