"""What both directions of a conversion share: they go through the layers and write a report."""

from typing import Any

import keras

from keras_decorr.backend.keras_internals import mark_called_like, sublayers
from keras_decorr.conversion.clone import Clone
from keras_decorr.conversion.compilation import compile_like
from keras_decorr.conversion.converted import Converted
from keras_decorr.conversion.parts import holds_all_of_its_layers
from keras_decorr.conversion.registry import Registry
from keras_decorr.conversion.report import ConversionReport, Row
from keras_decorr.layers.walk import walk


class Converter:
    """Converts the layers of one model.

    Args:
        model: The model.
        registry: The `Registry` with the functions to use.
    """

    def __init__(self, model: keras.Model, registry: Registry) -> None:
        self.model = model
        self.registry = registry
        self.places = list(walk(model, self.descends))
        self.rows: list[Row] = []
        self.pairs: list = []  # (old, new), once the model was cloned
        self._paths: dict[int, str] = {}
        for place in self.places:
            self._paths.setdefault(id(place.layer), place.path)

    def path(self, layer: Any) -> str:
        """Where a layer is in the model."""
        return str(self._paths.get(id(layer), layer.name))

    def descends(self, layer: Any) -> bool:
        """Whether the layers in the attributes of a layer are converted one by one."""
        package = type(layer).__module__.split(".")[0]
        known = package in ("keras", "keras_decorr") and not isinstance(layer, Converted)
        if self.registry.has(layer) or known or not sublayers(layer):
            return False
        return holds_all_of_its_layers(layer)

    def convert(self, layer: Any, inside: bool) -> Any:
        """The layer that takes the place of another, or `None` to copy it.

        Args:
            layer: The layer.
            inside: Whether it is in an attribute of a layer or model of a user's class. If so the new
                one is not built, as that is its owner's to do; else it is.
        """
        raise NotImplementedError

    def load(self, old: Any, new: Any) -> None:
        """Fill a built layer that takes a place."""
        raise NotImplementedError

    def leave(self, layer: Any, reason: str) -> None:
        """Write down why a layer is copied."""
        if layer.weights:
            self.rows.append(Row(self.path(layer), type(layer).__name__, False, reason=reason))

    def clone(self, model_types: dict[Any, Any], nested_types: dict[Any, Any]) -> keras.Model:
        """The converted model, not compiled yet.

        Args:
            model_types: What type the new model has, by that of the old one; another keeps its type.
            nested_types: The same for models inside the model.
        """
        clone = Clone(self, nested_types)
        new = clone.of(self.model, {**nested_types, **model_types})
        self.pairs = clone.pairs
        return new

    @property
    def report(self) -> ConversionReport:
        """The `ConversionReport`, once the model was cloned."""
        order = {path: index for index, path in enumerate(self._paths.values())}
        return ConversionReport(sorted(self.rows, key=lambda row: order[row.path]))

    def finish(self, new: Any) -> keras.Model:
        """The new model, compiled if the original is, with its report."""
        compile_like(new, self.model, self.pairs)
        mark_called_like(new, self.model)  # so that Keras exports a copy of a model that it exports
        return self.report.attach(new)
