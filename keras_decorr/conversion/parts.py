"""The layers that a layer or model of the user's own class holds in its attributes."""

from collections.abc import Iterator, Sequence
from typing import Any

import keras

from keras_decorr.backend.keras_internals import attribute_names, replace_layer, sublayers
from keras_decorr.training import Model
from keras_decorr.training.step import DecorrelationStep


def parts(owner: Any) -> Iterator[tuple[str, Any]]:
    """Yield `(path, layer)` for every layer in an attribute, or in a list, tuple or dict of one.

    A path is the name of the attribute and the indices or keys that follow, joined by `/`.
    """
    for name in _names(owner):
        yield from _inside(name, getattr(owner, name))


def part(owner: Any, path: str) -> Any:
    """The layer at a path, or `None`."""
    return dict(parts(owner)).get(path)


def put(owner: Any, path: str, layer: Any) -> None:
    """Put a layer where another is."""
    name, *steps = path.split("/")
    old = part(owner, path)
    replace_layer(owner, old, layer)
    if not steps:
        setattr(owner, name, layer)
    else:
        value = getattr(owner, name)
        if (changed := _with(value, steps, layer)) is not value:
            setattr(owner, name, changed)


def holds_all_of_its_layers(owner: Any) -> bool:
    """Whether every layer that Keras tracks for a layer is at some path."""
    found = {id(layer) for _, layer in parts(owner)}
    return all(id(layer) in found for layer in sublayers(owner))


def _names(owner: Any) -> list[str]:
    """Names of the attributes that are not Keras's own."""
    if isinstance(owner, DecorrelationStep):
        reference: keras.layers.Layer = Model()
    elif isinstance(owner, keras.Model):
        reference = keras.Model()
    else:
        reference = keras.layers.Layer()
    known = set(dir(reference)) | {"_conversion"}
    return [name for name in attribute_names(owner) if name not in known]


def _inside(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, keras.layers.Layer):
        yield path, value
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _inside(f"{path}/{index}", item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _inside(f"{path}/{key}", item)


def _with(value: Any, steps: Sequence[str], layer: Any) -> Any:
    """A container with a layer at a place: the same one, unless it is a tuple."""
    if not steps:
        return layer
    step, *rest = steps
    if isinstance(value, dict):
        key = next(key for key in value if str(key) == step)
        value[key] = _with(value[key], rest, layer)
        return value
    index = int(step)
    new = _with(value[index], rest, layer)
    if isinstance(value, tuple):
        return (*value[:index], new, *value[index + 1 :])
    value[index] = new
    return value
