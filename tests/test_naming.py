"""Snake case as Keras writes it."""

import keras
import pytest

from keras_decorr.naming import to_snake_case


@pytest.mark.parametrize(
    "cls", [keras.layers.Dense, keras.layers.SeparableConv1D, keras.layers.GRU]
)
def test_it_gives_the_names_that_keras_gives(cls):
    arguments = (2,) if cls is not keras.layers.SeparableConv1D else (2, 3)
    assert cls(*arguments).name.startswith(to_snake_case(cls.__name__))
