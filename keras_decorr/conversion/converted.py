"""Layers and models of a user's own class, with other layers in their attributes.

Such a class makes its layers in its own code, so its configuration does not tell of a conversion: saved
and loaded, it would come back plain. A converted one is therefore an instance of a subclass, made here,
whose configuration has that of the original and of every layer that took a place.
"""

import copy
import functools
from collections.abc import Iterable
from typing import Any

import keras

from keras_decorr.conversion.parts import part, put

_register = keras.saving.register_keras_serializable(package="keras_decorr", name="Converted")


@_register
class Converted:
    """What a layer or model of a user's class becomes when layers in its attributes are replaced."""

    _conversion: tuple

    def get_config(self) -> dict[str, Any]:
        plain, replaced = self._conversion
        first: dict = {}  # path of each layer, which may have several
        configs = {}
        for path in replaced:
            layer = part(self, path)
            known = first.setdefault(id(layer), path)
            configs[path] = _unbuilt(layer) if known == path else known
        return {"plain": plain, "replaced": configs}

    @classmethod
    def from_config(cls, config: Any, custom_objects: dict[str, Any] | None = None) -> Any:
        """A layer or model of the user's class, its replaced layers in their places."""
        owner = keras.saving.deserialize_keras_object(config["plain"], custom_objects)
        for path, layer in config["replaced"].items():
            if isinstance(layer, str):
                put(owner, path, part(owner, layer))
            else:
                put(owner, path, keras.saving.deserialize_keras_object(layer, custom_objects))
        return mark(owner, config["plain"], config["replaced"])


def description(owner: Any) -> Any:
    """What gives back a layer or model, not built, of a user's class."""
    return owner._conversion[0] if isinstance(owner, Converted) else _unbuilt(owner)


def blueprint(layer: Any) -> tuple[Any, dict[str, Any]]:
    """The class that a layer or model has unless converted, and the configuration of one like it.

    The class is at hand, so that a copy needs no registered one.
    """
    if isinstance(layer, Converted):
        return type(layer).__bases__[1], copy.deepcopy(layer._conversion[0]["config"])
    return type(layer), layer.get_config()


def mark(owner: Any, plain: Any, replaced: Iterable[str]) -> Any:
    """Make a layer or model say what was replaced in it.

    Args:
        owner: The layer or model.
        plain: Its `description` from before.
        replaced: The paths of the replaced layers.
    """
    kind: Any = type(owner)
    object.__setattr__(owner, "_conversion", (plain, tuple(replaced)))
    object.__setattr__(owner, "__class__", _subclass(kind))
    return owner


@functools.cache
def _subclass(cls: Any) -> Any:
    # Registered under the name of `Converted`, by whose `from_config` it is loaded.
    return _register(type("Converted", (Converted, cls), {"__module__": Converted.__module__}))


def _unbuilt(layer: Any) -> Any:
    """The serialised form of a layer without what would build it: that is its owner's to do."""
    config = keras.saving.serialize_keras_object(layer)
    return {k: v for k, v in config.items() if k not in ("build_config", "compile_config")}
