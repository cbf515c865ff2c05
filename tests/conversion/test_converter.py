"""Which layers a conversion enters, and the order of its report."""

import keras
import pytest
from keras import layers

from keras_decorr.conversion.converter import Converter
from keras_decorr.conversion.registry import Registry
from keras_decorr.conversion.report import Row


class Own(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(3)

    def call(self, x):
        return self.dense(x)


@pytest.fixture
def converter():
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(4, name="a")], name="inner")
    model = keras.Sequential([keras.Input((4,)), inner, Own(name="own"), layers.Dense(2, name="b")])
    return Converter(model, Registry("converts", "nothing"))


def test_own_classes_are_entered_unless_they_are_registered(converter):
    own = converter.model.get_layer("own")
    assert converter.descends(own)
    assert not converter.descends(converter.model.get_layer("b"))
    converter.registry.register(Own)(lambda layer: layer)
    assert not converter.descends(own)


def test_paths_and_the_order_of_the_report(converter):
    names = ["inner/a", f"own/{converter.model.get_layer('own').dense.name}", "b"]
    places = {converter.path(place.layer): place.layer for place in converter.places}
    assert set(names) <= set(places)
    for name in reversed(names):
        converter.leave(places[name], f"why {name}")
    converter.leave(layers.Dropout(0.5), "it has no weights, so no row")
    rows = converter.report.rows
    assert rows == [Row(name, "Dense", False, reason=f"why {name}") for name in names]
