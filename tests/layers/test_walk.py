"""Every layer of a model with its path, those of nested models and layers included."""

import keras

from keras_decorr.layers import DecorDense, Decorrelation
from keras_decorr.layers.walk import once, walk


def model():
    inner = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(3, name="a"), DecorDense(4, name="b")], name="inner"
    )
    inputs = keras.Input((4,))
    outputs = keras.layers.Dense(4, name="last")(inner(inner(inputs)))
    return keras.Model(inputs, outputs, name="outer")


def test_paths_and_chains_lead_from_the_outside_in():
    places = {place.path: place for place in walk(model())}
    assert list(places) == ["inner", "inner/a", "inner/b", "inner/b/decorrelation", "last"]
    deepest = places["inner/b/decorrelation"]
    assert [path for path, _ in deepest.chain] == ["inner", "inner/b", "inner/b/decorrelation"]
    assert deepest.chain[-1][1] is deepest.layer
    assert isinstance(deepest.layer, Decorrelation)
    assert deepest.owners == [places["inner"].layer, places["inner/b"].layer]


def test_layers_are_gone_into_as_asked_and_models_always():
    paths = [place.path for place in walk(model(), descends=lambda layer: False)]
    assert paths == ["inner", "inner/a", "inner/b", "last"]


def test_a_layer_in_two_places_comes_once_for_each_or_with_the_first_alone():
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4, name="a")], name="inner")
    outer = keras.Sequential([keras.Input((4,)), inner.layers[0], inner], name="outer")
    places = list(walk(outer))
    assert [place.path for place in places] == ["a", "inner", "inner/a"]
    assert [place.path for place in once(places)] == ["a", "inner"]
