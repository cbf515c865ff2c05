"""Calls a model as a training step does."""

import inspect
from typing import Any

import keras

from keras_decorr.typing import Tensor


def takes_training(layer: Any) -> bool:
    """Returns whether the `call` of a layer or model has an argument `training`."""
    return "training" in inspect.signature(layer.call).parameters


def has_call(model: Any) -> bool:
    """Returns whether a class defines `call`. A model with a training step of its own may have none."""
    return type(model).call not in (keras.Model.call, keras.layers.Layer.call)


def call_in_training(model: Any, x: Tensor) -> Tensor:
    """Returns `model(x, training=True)`, or `model(x)` for a model without that argument."""
    return model(x, training=True) if takes_training(model) else model(x)
