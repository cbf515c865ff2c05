"""What a model must be to be converted."""

from typing import Any

import keras

from keras_decorr.backend.keras_internals import flatten_layers
from keras_decorr.layers import Decorrelation


def check_model(function: str, model: Any) -> None:
    """Raises an error unless a model, or layer, is one that can be converted.

    Raises:
        TypeError: If it is no Keras model or layer.
        ValueError: If it is not built.
    """
    if not isinstance(model, keras.layers.Layer):
        raise TypeError(
            f"Argument `model` of {function} must be a keras.Model or a layer. Received: {model!r} of "
            f"type {type(model).__name__}"
        )
    inside = flatten_layers(model, include_self=False)
    # A model with a training step of its own may have no `call`, and is never built.
    if not model.built and not (inside and all(layer.built for layer in inside)):
        raise ValueError(
            f"Argument `model` of {function} must be built, as its layers must have their weights. "
            "Give a Sequential a keras.Input, or call the model on a batch. "
            f"Received: {model!r}, which is not built"
        )


def has_decorrelation(layer: Any) -> bool:
    """Returns whether a layer decorrelates, or one inside it."""
    return any(
        isinstance(part, Decorrelation) and part.decorrelator is not None
        for part in flatten_layers(layer)
    )
