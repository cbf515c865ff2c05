"""Lists every layer of a model with its path."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import keras

from keras_decorr.backend.keras_internals import sublayers


class Place(NamedTuple):
    """A layer and its place in a model.

    Attributes:
        path: Names of the models and layers it is in and its own, joined by `/`.
        layer: The layer.
        chain: `(path, layer)` of everything it is in, from the outside, and of itself.
    """

    path: str
    layer: keras.layers.Layer
    chain: tuple

    @property
    def owners(self) -> list:
        """What it is in, from the outside."""
        return [layer for _, layer in self.chain[:-1]]


def own_weights(layer: Any) -> list[Any]:
    """Returns the weights of a layer that are not those of a layer inside it."""
    inside = {id(v) for part in sublayers(layer) for v in part.weights}
    return [v for v in layer.weights if id(v) not in inside]


def once(places: Iterable[Place]) -> list[Place]:
    """Returns the first place of every layer."""
    first: dict[int, Place] = {}
    for place in places:
        first.setdefault(id(place.layer), place)
    return list(first.values())


def walk(model: Any, descends: Callable = lambda layer: True, chain: tuple = ()) -> Iterator[Place]:
    """Yields a `Place` for every layer, including those inside nested models.

    A layer that is used in several places comes once for each.

    Args:
        model: A Keras model, or a layer with layers of its own.
        descends: A function of a layer: whether to go inside. Models are always gone into. Default:
            into every layer.
        chain: Of the model itself.
    """
    before = chain[-1][0] + "/" if chain else ""
    for layer in sublayers(model):
        if isinstance(layer, keras.layers.InputLayer):
            continue
        path = before + layer.name
        here = (*chain, (path, layer))
        yield Place(path, layer, here)
        if isinstance(layer, keras.Model) or descends(layer):
            yield from walk(layer, descends, here)
