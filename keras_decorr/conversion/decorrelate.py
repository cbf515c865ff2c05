"""A decorrelating model from a plain one."""

import keras
from keras.src.models.functional import Functional

from keras_decorr import decorrelators
from keras_decorr.conversion import to_decorrelating  # noqa: F401, it fills the registry
from keras_decorr.conversion.checks import check_model, has_decorrelation, refusal
from keras_decorr.conversion.clone import Clone
from keras_decorr.conversion.compilation import compile_like
from keras_decorr.conversion.features import features
from keras_decorr.conversion.registry import decorrelating
from keras_decorr.conversion.report import ConversionReport, Row, features_of, structure_of
from keras_decorr.conversion.selection import Selection
from keras_decorr.conversion.state import build_like
from keras_decorr.conversion.walk import walk
from keras_decorr.decorrelators.arguments import check_count
from keras_decorr.training import Model, Sequential
from keras_decorr.training.model import FunctionalModel

_MODEL_TYPES = {
    keras.Model: Model,
    Functional: FunctionalModel,
    keras.Sequential: Sequential,
}


def decorrelate(
    model,
    decorrelator="norm_preserving",
    layers=None,
    exclude=None,
    max_features=None,
    above="monarch",
):
    """A copy of a model whose linear maps see decorrelated inputs.

    The weights are copied; M starts as the identity. In inference the new model differs from the old one
    by nothing until it has been trained. `fold` leads back to plain Keras layers.

    Args:
        model: A built keras.Model: Sequential, functional (nested models, too) or subclassed. It is not
            changed.
        decorrelator: Name of a decorrelation rule or a `keras_decorr.decorrelators.Decorrelator`, of
            which each layer gets a copy. Defaults to `"norm_preserving"`.
        layers: What to convert: names of layers, their paths (`"backbone/conv1"`), patterns as of file
            names (`"block3_*"`), layer types, layers, or a list of these. A nested model stands for all
            that is in it. Default: everything that can be converted.
        exclude: What to leave as it is, in the same form.
        max_features: Layers with more features than this get the structure `above`.
        above: A structure of M for these layers, or `None` to leave them plain. Defaults to
            `"monarch"`.

    Returns:
        A `keras_decorr.Model` or `keras_decorr.Sequential`; where the model is of a class of the user's
        own, one of that class. Its `conversion_report` says for every layer with weights
        what became of it. It is compiled if the model was, with a fresh optimizer.

    Raises:
        TypeError: If `model` is no Keras model, or a selector is none.
        ValueError: If the model is not built or decorrelates already, if a selector matches nothing, if
            an argument of the decorrelator does not suit a layer, or if nothing was converted.

    Example:

    >>> import keras, keras_decorr
    >>> plain = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4), keras.layers.Dense(2)])
    >>> model = keras_decorr.decorrelate(plain)
    >>> [type(layer).__name__ for layer in model.layers]
    ['DecorDense', 'DecorDense']
    """
    check_model("decorrelate", model)
    if has_decorrelation(model):
        raise ValueError(
            "Argument `model` of decorrelate has decorrelating layers already. Call `keras_decorr.fold` "
            f"first for a plain model. Received: {model!r}"
        )
    decorrelator = decorrelators.get(decorrelator)
    if decorrelator is None:
        raise ValueError(
            "Argument `decorrelator` of decorrelate must name a rule. Received: decorrelator=None"
        )
    conversion = _Conversion(decorrelator, max_features, above)
    places = list(walk(model, lambda layer: False))
    conversion.selection = Selection(places, layers, exclude)
    for place in places:
        conversion.paths.setdefault(id(place.layer), place.path)
    new = Clone(conversion, lambda old, layer: layer.load_plain(old), {}).of(model, _MODEL_TYPES)
    report = ConversionReport(conversion.rows)
    if not report.converted:
        raise ValueError(
            f"decorrelate found nothing to convert in the model {model.name!r}:\n{report}\n"
            f"Received: {model!r}, layers={layers!r}, exclude={exclude!r}, "
            f"max_features={max_features}, above={above!r}"
        )
    compile_like(new, model)
    return report.attach(new)


class _Conversion:
    """Converts one layer after the other, and writes the rows of the report."""

    selection: Selection

    def __init__(self, decorrelator, max_features, above):
        self.decorrelator = decorrelator
        self.max_features = max_features
        self.larger = None
        if max_features is not None:
            check_count("decorrelate", "max_features", max_features)
            if above is not None:
                config = {**decorrelator.get_config(), "structure": above}
                self.larger = type(decorrelator).from_config(config)
        self.paths: dict[int, str] = {}
        self.rows: list[Row] = []

    def __call__(self, layer):
        new = self._convert(layer)
        path = self.paths.get(id(layer), layer.name)
        kind = type(layer).__name__
        if isinstance(new, str):
            if layer.weights:
                self.rows.append(Row(path, kind, False, reason=new))
            return None
        row = Row(path, kind, True, type(new).__name__, structure_of(new), features_of(new))
        self.rows.append(row)
        return new

    def _convert(self, layer):
        """A new built layer, or the reason why there is none."""
        against = self.selection.reason_against(layer) or refusal(layer)
        if against:
            return against
        decorrelator = self.decorrelator
        n = None if self.max_features is None else features(layer, decorrelator.structure)
        if n is not None and n > self.max_features:
            if self.larger is None:
                return f"{n} features, more than max_features={self.max_features}"
            decorrelator = self.larger
        try:
            return self._built(layer, decorrelator)
        except ValueError as error:
            # With the usual settings every layer that has a linear map of features will do.
            try:
                self._built(layer, decorrelators.get("norm_preserving"))
            except ValueError as about_the_layer:
                return str(about_the_layer)
            path = self.paths.get(id(layer), layer.name)
            raise ValueError(
                f"The decorrelator does not suit layer {path!r}: {error}\nLeave the layer out with "
                f"`exclude`, or give the others in `layers`."
            ) from error

    @staticmethod
    def _built(layer, decorrelator):
        new = decorrelating.convert(layer, decorrelator)
        if not isinstance(new, str):
            build_like(new, layer)
        return new
