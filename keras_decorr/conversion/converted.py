"""Loads layers and models of a user's own class that version 0.1.0 converted."""

from typing import Any

import keras

from keras_decorr.backend.keras_internals import replace_sublayer
from keras_decorr.conversion.decorrelated import mark


@keras.saving.register_keras_serializable(package="keras_decorr")
class Converted:
    """What a file of version 0.1.0 has in the place of a layer or model of a user's class.

    It has the configurations of the plain one and of the layers that took a place in it.
    """

    def get_config(self) -> dict[str, Any]:
        """Raises an error: there are no objects of this class."""
        raise NotImplementedError

    @classmethod
    def from_config(cls, config: Any, custom_objects: dict[str, Any] | None = None) -> Any:
        """Returns a layer or model of the user's class, its replaced layers in their places."""
        owner = keras.saving.deserialize_keras_object(config["plain"], custom_objects)
        layers: dict[str, Any] = {}
        for path, layer in config["replaced"].items():
            known = isinstance(layer, str)  # the path of the same layer
            layers[path] = (
                layers[layer]
                if known
                else keras.saving.deserialize_keras_object(layer, custom_objects)
            )
            replace_sublayer(owner, path, layers[path])
        return mark(owner, trains=False, name="Converted")
