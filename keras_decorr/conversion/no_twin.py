"""Why layers stay plain."""

from typing import Any

from keras import layers

from keras_decorr.backend.keras_internals import flatten_layers, sublayers
from keras_decorr.layers.twin import TWINS

_ELEMENTWISE = "acts on each feature alone: there is no linear map of features"
_LOOKUP = "a lookup: its inputs are indices, not features"
_LOOP = (
    "runs its cell in a loop over the steps, where M cannot learn: put a "
    "keras_decorr.layers.Decorrelation before it"
)

# Keras's own layers with weights, and their subclasses. What is inside is left alone, too.
_REASONS: dict[type, str] = {
    layers.Embedding: _LOOKUP,
    layers.BatchNormalization: _ELEMENTWISE,
    layers.GroupNormalization: _ELEMENTWISE,
    layers.LayerNormalization: _ELEMENTWISE,
    layers.Normalization: _ELEMENTWISE,
    layers.RMSNormalization: _ELEMENTWISE,
    layers.UnitNormalization: _ELEMENTWISE,
    layers.PReLU: _ELEMENTWISE,
    layers.SpectralNormalization: "replaces the kernel of the layer inside at every call",
    layers.RNN: _LOOP,
}


def is_leaf(layer: Any) -> bool:
    """Returns whether a layer is converted or left as a whole, with all that is inside it."""
    return type(layer) in TWINS or isinstance(layer, tuple(_REASONS)) or not sublayers(layer)


def reason_against(layer: Any) -> str | None:
    """Returns why a layer with weights cannot be decorrelated by any decorrelator, or `None`."""
    if type(layer) not in TWINS:
        for cls, reason in _REASONS.items():
            if isinstance(layer, cls):
                return reason
        if not is_leaf(layer):
            return "has weights beside those of the layers inside it, which are no linear map"
        kind, see = type(layer).__name__, "see keras_decorr.conversion.register"
        for base in type(layer).__mro__:
            if base in TWINS:
                return f"{kind} is a subclass of {base.__name__} that may compute something else: {see}"
        return f"no decorrelating layer is known for a {kind}: {see}"
    if any(getattr(part, "quantization_mode", None) is not None for part in flatten_layers(layer)):
        return "quantized: M would have to be folded into rounded weights"
    if not layer.built:
        return "not built: the model has never called it"
    return None
