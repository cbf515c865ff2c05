"""What can be converted, and what decorrelates."""

import keras
import pytest
from keras import layers

from keras_decorr import fold
from keras_decorr.conversion.checks import has_decorrelation
from keras_decorr.layers import DecorDense, DecorMultiHeadAttention
from tests.conversion.nets import decorrelate


@pytest.mark.parametrize("convert", [decorrelate, fold])
def test_it_must_be_a_model_or_a_layer_that_is_built(convert):
    with pytest.raises(TypeError, match=r"`model` of \w+ must be a keras.Model or a layer.*'net'"):
        convert("net")
    with pytest.raises(ValueError, match=r"Give a Sequential a keras.Input.*not built"):
        convert(keras.Sequential([layers.Dense(3)]))
    with pytest.raises(ValueError, match=r"which is not built"):
        convert(layers.Dense(3))


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (DecorDense(3), True),
        (DecorDense(3, decorrelator=None), False),
        (layers.Dense(3), False),
        (keras.Sequential([layers.Dense(3), DecorDense(3)]), True),
    ],
)
def test_a_layer_without_a_decorrelator_does_not_decorrelate(layer, expected):
    layer.build((None, 4))
    assert has_decorrelation(layer) == expected


def test_attention_decorrelates_by_its_projections():
    layer = DecorMultiHeadAttention(2, 3)
    layer.build((None, 5, 4), (None, 5, 4))
    assert has_decorrelation(layer)
