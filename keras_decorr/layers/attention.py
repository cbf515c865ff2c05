"""The base class of attention layers whose projections are `DecorEinsumDense`."""

from typing import Any

import keras
import numpy as np

from keras_decorr import decorrelators
from keras_decorr.backend.keras_internals import attention_projections, replace_attention_projection
from keras_decorr.layers.decor_einsum_dense import DecorEinsumDense
from keras_decorr.typing import Shape

_Mixin: Any = object  # a Keras layer comes behind it


class DecorProjections(_Mixin):
    """Mixin for a subclass of a Keras attention layer, its `twin`.

    The inputs of each projection are decorrelated, the attention itself is as it was. The projections
    are those that Keras builds, with the same weights; each has an M of its own.
    """

    def __init__(self, *args: Any, decorrelator: Any = "norm_preserving", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._decorrelator = decorrelators.get(decorrelator)

    def build(self, query_shape: Shape, value_shape: Shape, key_shape: Shape | None = None) -> None:
        super().build(query_shape, value_shape, key_shape)
        key_shape = value_shape if key_shape is None else key_shape
        plain = attention_projections(self)
        heads = plain["query"].compute_output_shape(query_shape)
        value_heads = plain["value"].compute_output_shape(value_shape)
        shapes = {
            "query": query_shape,
            "gate": query_shape,
            "key": key_shape,
            "value": value_shape,
            "output": (*heads[:-1], value_heads[-1]),
        }
        for role, layer in plain.items():
            projection = DecorEinsumDense.around(layer, self._decorrelator)
            projection.build(shapes[role])
            replace_attention_projection(self, role, projection)

    @property
    def decorrelator(self) -> Any:
        """The decorrelator that every projection has a copy of, or `None`."""
        return self._decorrelator

    # --- to and from the twin: see DecorLayer ---------------------------------------------------

    @classmethod
    def from_layer(cls, layer: Any, decorrelator: Any = "norm_preserving") -> Any:
        """Returns a layer with the arguments of a Keras layer, not built."""
        return cls.from_config({**layer.get_config(), "decorrelator": decorrelator})

    @property
    def features(self) -> Any:
        """The number of features of the widest projection, or `None` without a decorrelator."""
        if self._decorrelator is None:
            return None
        return max(p.features for p in attention_projections(self).values())

    def load_plain(self, layer: Any) -> None:
        """Copies the weights of a built Keras layer. This layer must be built."""
        plain = attention_projections(layer)
        for role, projection in attention_projections(self).items():
            projection.load_plain(plain[role])

    def folded_layer(self) -> keras.layers.Layer:
        """Returns a Keras layer with the same outputs in inference, not built."""
        config = super().get_config()
        if self._decorrelator is not None and self._decorrelator.center:
            config["use_bias"] = True
        return self.twin.from_config(config)

    def folded_weights(self) -> list[np.ndarray]:
        """Returns arrays for the weights of `folded_layer()`, once that is built."""
        return [
            array
            for projection in attention_projections(self).values()
            for array in projection.folded_weights()
        ]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "decorrelator": decorrelators.serialize(self._decorrelator),
        }
