"""From a decorrelating model to a plain one."""

import keras
import pytest
from keras import layers

import keras_decorr
from keras_decorr import fold
from tests.conversion.nets import decorrelate


def test_layers_without_a_decorrelator_fold_too():
    model = keras.Sequential(
        [keras.Input((6,)), keras_decorr.layers.DecorDense(4, decorrelator=None)]
    )
    assert type(fold(model).layers[0]) is layers.Dense
    with pytest.raises(ValueError, match="nothing to convert"):
        decorrelate(model)
