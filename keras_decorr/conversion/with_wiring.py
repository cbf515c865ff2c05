"""A copy of a model in which learning rules and instruments reach every dense layer and convolution."""

from typing import Any

import keras

from keras_decorr import layers
from keras_decorr.backend.keras_internals import flatten_layers
from keras_decorr.conversion.checks import refusal
from keras_decorr.conversion.compilation import compile_like
from keras_decorr.conversion.converter import Converter
from keras_decorr.conversion.registry import Registry
from keras_decorr.conversion.state import build_like
from keras_decorr.layers.decor_layer import DecorLayer

_TWINS = {
    cls.twin: cls
    for cls in (layers.DecorDense, layers.DecorConv1D, layers.DecorConv2D, layers.DecorConv3D)
}


def with_wiring(model: keras.Model) -> keras.Model:
    """The model, its plain dense layers and convolutions replaced by twins that do not decorrelate.

    The twin of a Keras layer without a decorrelator computes what the layer does, by way of the
    `keras_decorr.context.wiring` in force.

    Args:
        model: A built Keras model.

    Returns:
        A copy with the same weights, compiled as the model is; the model itself if it has nothing to
        replace.
    """
    inside = {
        id(part)
        for layer in flatten_layers(model, include_self=False)
        if isinstance(layer, DecorLayer)
        for part in flatten_layers(layer, include_self=False)
    }
    if not any(
        type(layer) in _TWINS and id(layer) not in inside
        for layer in flatten_layers(model, include_self=False)
    ):
        return model
    converter = _WithWiring(model, Registry("gives wiring to", "keras_decorr.layers"))
    new = converter.clone({}, nested_types={})
    compile_like(new, model, converter.pairs)
    return new


class _WithWiring(Converter):
    def convert(self, layer: Any, inside: bool) -> Any:
        twin = _TWINS.get(type(layer))
        if twin is None or refusal(layer):
            return None
        new = twin.from_layer(layer, None)
        build_like(new, layer)
        return twin.from_config(new.get_config()) if inside else new

    def load(self, old: Any, new: Any) -> None:
        new.load_plain(old)
