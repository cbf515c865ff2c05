"""The layers in the attributes of an own class, by their paths."""

import keras
import pytest
from keras import layers

from keras_decorr.conversion.parts import holds_all_of_its_layers, part, parts, put


class Owner(layers.Layer):
    def __init__(self):
        super().__init__()
        self.one = layers.Dense(1, name="one")
        self.several = [layers.Dense(2, name="two"), {"key": layers.Dense(3, name="three")}]
        self.fixed = (layers.Dense(4, name="four"), 5)


@pytest.fixture
def owner():
    return Owner()


def test_paths(owner):
    found = {path: layer.name for path, layer in parts(owner)}
    expected = {"one": "one", "several/0": "two", "several/1/key": "three", "fixed/0": "four"}
    assert found == expected
    assert part(owner, "several/1/key").units == 3
    assert part(owner, "nowhere") is None
    assert holds_all_of_its_layers(owner)


@pytest.mark.parametrize("path", ["one", "several/0", "several/1/key", "fixed/0"])
def test_a_layer_is_replaced_in_its_place(owner, path):
    before = [layer.name for layer in owner._flatten_layers(include_self=False)]
    new, old = layers.Dense(9, name="new"), part(owner, path)
    put(owner, path, new)
    assert part(owner, path) is new
    after = [layer.name for layer in owner._flatten_layers(include_self=False)]
    assert after == [new.name if name == old.name else name for name in before]
    assert len(owner.fixed) == 2


def test_a_layer_that_is_in_no_attribute(owner):
    owner._layers.append(keras.layers.Dense(2))
    assert not holds_all_of_its_layers(owner)
