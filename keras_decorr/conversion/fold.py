"""A plain Keras model from a decorrelating one."""

import keras
from keras.src.models.functional import Functional

from keras_decorr.conversion import to_plain  # noqa: F401, it fills the registry
from keras_decorr.conversion.checks import check_model
from keras_decorr.conversion.clone import Clone
from keras_decorr.conversion.compilation import compile_like
from keras_decorr.conversion.registry import folding
from keras_decorr.conversion.report import ConversionReport, Row, features_of, structure_of
from keras_decorr.conversion.state import build_like
from keras_decorr.conversion.walk import walk
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
    paths: dict[int, str] = {}
    for place in walk(model, lambda layer: False):
        paths.setdefault(id(place.layer), place.path)
    rows = []

    def replace(layer):
        path, kind = paths.get(id(layer), layer.name), type(layer).__name__
        if not folding.has(layer):
            if layer.weights:
                rows.append(Row(path, kind, False, reason="does not decorrelate"))
            return None
        new = folding.convert(layer)
        if isinstance(new, str):
            raise ValueError(f"Layer {path!r} cannot be folded: {new}. Received: {layer!r}")
        build_like(new, layer)
        found = structure_of(layer), features_of(layer)
        rows.append(Row(path, kind, True, type(new).__name__, *found))
        return new

    def load(old, new):
        new.set_weights(old.folded_weights())

    new = Clone(replace, load, _MODEL_TYPES).of(model)
    report = ConversionReport(rows)
    if not report.converted:
        raise ValueError(
            "Argument `model` of fold has no decorrelating layers. Received: "
            f"{model!r} with layers {[layer.name for layer in model.layers][:20]}"
        )
    compile_like(new, model)
    return report.attach(new)
