"""What a model must be to be converted."""

from typing import Any

import keras

from keras_decorr.backend.keras_internals import flatten_layers
from keras_decorr.layers import Decorrelation


def check_model(function: str, model: keras.Model) -> None:
    """Raise unless a model is one that can be converted.

    Raises:
        TypeError: If it is no Keras model.
        ValueError: If it is not built.
    """
    if not isinstance(model, keras.Model):
        raise TypeError(
            f"Argument `model` of {function} must be a keras.Model. Received: {model!r} of type "
            f"{type(model).__name__}"
        )
    if not model.built:
        raise ValueError(
            f"Argument `model` of {function} must be built, as its weights are copied. Give a "
            "Sequential a keras.Input, or call the model on a batch. "
            f"Received: {model!r}, which is not built"
        )


def has_decorrelation(layer: Any) -> bool:
    """Whether a layer decorrelates, or one inside it."""
    return any(
        isinstance(part, Decorrelation) and part.decorrelator is not None
        for part in flatten_layers(layer)
    )


def refusal(layer: Any) -> str | None:
    """Why the weights of a layer cannot be decorrelated, whatever its type, or `None`."""
    parts = flatten_layers(layer)
    if any(getattr(part, "quantization_mode", None) is not None for part in parts):
        return "quantized: M would have to be folded into rounded weights"
    if any(getattr(part, "lora_enabled", False) for part in parts):
        return "has LoRA weights: decorrelate the model first, then call enable_lora"
    if not layer.built:
        return "not built: the model has never called it"
    return None
