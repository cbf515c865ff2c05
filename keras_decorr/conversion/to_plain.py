"""From decorrelating layers to Keras's: each knows its own twin."""

from typing import Any

from keras_decorr import layers
from keras_decorr.conversion.registry import folding
from keras_decorr.conversion.time_distributed import DecorTimeDistributed


@folding.register(*(getattr(layers, name) for name in layers.__all__), DecorTimeDistributed)
def twin(layer: Any) -> Any:
    """The Keras layer that mean, M and kernel merge into."""
    return layer.folded_layer()
