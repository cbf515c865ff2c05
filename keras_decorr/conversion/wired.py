"""Lets learning rules and instruments reach every dense layer and convolution of a model."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras

from keras_decorr.backend.keras_internals import flatten_layers
from keras_decorr.layers.twin import TWINS

_KINDS = (keras.layers.Dense, keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)


@contextmanager
def wired(model: keras.Model) -> Iterator[None]:
    """Makes plain dense layers and convolutions twins that do not decorrelate, for the code inside.

    They compute what they did, by way of the `keras_decorr.context.wiring` in force.

    Args:
        model: A built Keras model.
    """
    plain = [
        layer
        for layer in flatten_layers(model, include_self=False)
        if type(layer) in _KINDS and layer.quantization_mode is None
    ]
    for layer in plain:
        TWINS[type(layer)].attach(layer, None)
    try:
        yield
    finally:
        for layer in plain:
            layer.detach()
