"""The base class of attention layers whose projections are `DecorEinsumDense`."""

from typing import Any

from keras_decorr import decorrelators
from keras_decorr.backend.keras_internals import (
    attention_projections,
    remove_attribute,
    use_bias_in_projections,
)
from keras_decorr.decorrelators import Decorrelator
from keras_decorr.layers.decor_einsum_dense import DecorEinsumDense
from keras_decorr.layers.decorrelation import TooManyFeaturesError
from keras_decorr.layers.twin import DecorrelatingTwin
from keras_decorr.typing import Shape


class DecorProjections(DecorrelatingTwin):
    """Mixin for a subclass of a Keras attention layer, its `twin`.

    The inputs of each projection are decorrelated, the attention itself is as it was. The projections
    are those that Keras builds, with the same weights; each has an M of its own.
    """

    def __init__(self, *args: Any, decorrelator: Any = "norm_preserving", **kwargs: Any) -> None:
        super().__init__(*args, decorrelator=None, **kwargs)
        self._decorrelator = decorrelators.get(decorrelator)

    @property
    def decorrelator(self) -> Any:
        """The decorrelator that every projection has a copy of, or `None`."""
        return getattr(self, "_decorrelator", None)

    def build(self, query_shape: Shape, value_shape: Shape, key_shape: Shape | None = None) -> None:
        super().build(query_shape, value_shape, key_shape)
        self._attach_projections(query_shape, value_shape, key_shape)

    def start_decorrelation(self, rule: Decorrelator, input_shape: Shape) -> None:
        self._decorrelator = rule
        shapes = self.get_build_config()["shapes_dict"]
        self._attach_projections(*(shapes.get(f"{x}_shape") for x in ("query", "value", "key")))

    def _attach_projections(self, query: Shape, value: Shape, key: Shape | None) -> None:
        plain = attention_projections(self)
        heads = plain["query"].compute_output_shape(query)
        value_heads = plain["value"].compute_output_shape(value)
        shapes = {
            "query": query,
            "gate": query,
            "key": value if key is None else key,
            "value": value,
            "output": (*query[:-1], heads[-2], value_heads[-1]),
        }
        too_many = []
        for role, layer in plain.items():
            try:
                DecorEinsumDense.attach(layer, self._decorrelator, shapes[role])
            except TooManyFeaturesError as error:
                too_many.append(error)
        if too_many:
            raise max(too_many, key=lambda error: error.n)

    @property
    def takes_mean(self) -> bool:
        return all(p.takes_mean for p in self._decorrelating())

    def merge(self) -> None:
        for projection in self._decorrelating():
            projection.merge()
            if projection.bias is not None:
                use_bias_in_projections(self)

    def detach(self) -> None:
        for projection in self._decorrelating():
            projection.detach()
        if hasattr(self, "_decorrelator"):
            remove_attribute(self, "_decorrelator")
        super().detach()

    def _decorrelating(self) -> list[Any]:
        """Returns the projections that decorrelate: all, or none, or some where attaching failed."""
        return [p for p in attention_projections(self).values() if isinstance(p, DecorEinsumDense)]
