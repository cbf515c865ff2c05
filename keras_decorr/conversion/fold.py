"""A plain Keras model from a decorrelating one."""

import keras
from keras.src.models.functional import Functional

from keras_decorr.conversion import to_plain  # noqa: F401, it fills the registry
from keras_decorr.conversion.checks import check_model, has_decorrelation
from keras_decorr.conversion.converter import Converter
from keras_decorr.conversion.registry import folding
from keras_decorr.conversion.report import Row, features_of, structure_of
from keras_decorr.conversion.state import build_like
from keras_decorr.training import Model, Sequential
from keras_decorr.training.model import FunctionalModel

_MODEL_TYPES = {Model: keras.Model, FunctionalModel: Functional, Sequential: keras.Sequential}


def fold(model):
    """A copy of a model in which mean, M and kernel are merged into plain Keras layers.

    In inference the outputs are the same, at the cost of the plain layers; nothing of `keras_decorr` is
    needed to load the model once it is saved.

    Args:
        model: A built keras.Model with decorrelating layers. It is not changed.

    Returns:
        A keras.Model or keras.Sequential; where the model is of a class of the user's own, one of that
        class. Layers without a bias get one where a mean has to go somewhere. Its `conversion_report`
        says what became of the layers. It is compiled if the model was, for backpropagation, with a
        fresh optimizer.

    Raises:
        TypeError: If `model` is no Keras model.
        ValueError: If the model is not built or has no decorrelating layers, or if one of these cannot
            be folded.

    Example:

    >>> import keras, keras_decorr
    >>> plain = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4), keras.layers.Dense(2)])
    >>> model = keras_decorr.fold(keras_decorr.decorrelate(plain))
    >>> [type(layer).__name__ for layer in model.layers]
    ['Dense', 'Dense']
    """
    check_model("fold", model)
    converter = _Folding(model, folding)
    new = converter.clone({}, nested_types=_MODEL_TYPES)
    if not converter.report.converted:
        raise ValueError(
            "Argument `model` of fold has no decorrelating layers. Received: "
            f"{model!r} with layers {[layer.name for layer in model.layers][:20]}"
        )
    return converter.finish(new)


class _Folding(Converter):
    def convert(self, layer, inside):
        if not self.registry.has(layer):
            reason = self.registry.convert(layer)
            self.leave(layer, reason if has_decorrelation(layer) else "does not decorrelate")
            return None
        new = self.registry.convert(layer)
        if isinstance(new, str):
            self.leave(layer, new)
            return None
        if not inside:
            build_like(new, layer)
        into = type(new).__name__, structure_of(layer), features_of(layer)
        self.rows.append(Row(self.path(layer), type(layer).__name__, True, *into))
        return new

    def load(self, old, new):
        new.set_weights(old.folded_weights())

    def leave(self, layer, reason):
        if has_decorrelation(layer):
            raise ValueError(
                f"Layer {self.path(layer)!r} cannot be folded: {reason}. Received: {layer!r}"
            )
        super().leave(layer, reason)
