"""A decorrelating model from a plain one."""

import warnings
from typing import Any

import keras

from keras_decorr import decorrelators
from keras_decorr.backend.keras_internals import Functional
from keras_decorr.conversion import to_decorrelating  # noqa: F401, it fills the registry
from keras_decorr.conversion.checks import check_model, has_decorrelation, refusal
from keras_decorr.conversion.clone import same
from keras_decorr.conversion.converter import Converter
from keras_decorr.conversion.features import features
from keras_decorr.conversion.heads import heads
from keras_decorr.conversion.registry import decorrelating
from keras_decorr.conversion.report import Row, features_of, structure_of
from keras_decorr.conversion.selection import Selection
from keras_decorr.conversion.state import build_like
from keras_decorr.decorrelators import Decorrelator
from keras_decorr.decorrelators.arguments import check_count
from keras_decorr.decorrelators.structures import StructureSpec
from keras_decorr.layers.call import takes_training
from keras_decorr.training import Model, Sequential
from keras_decorr.training.model import FunctionalModel
from keras_decorr.training.step import DecorrelationStep

_MODEL_TYPES = {
    keras.Model: Model,
    Functional: FunctionalModel,
    keras.Sequential: Sequential,
}


def decorrelate(
    model: keras.Model,
    decorrelator: Decorrelator | str = "norm_preserving",
    layers: Any = None,
    exclude: Any = None,
    max_features: int | None = None,
    above: str | StructureSpec | None = "monarch",
    head: bool = False,
) -> keras.Model:
    """A copy of a model whose linear maps see decorrelated inputs.

    The weights are copied, and M starts as the identity: until it is trained, the new model does in
    inference what the old one does. `fold` leads back to plain Keras layers.

    The `kernel` of a decorrelating layer acts on decorrelated inputs. A class of your own that uses the
    `kernel` of a layer in its code, as to tie weights, gets that one, and once M has moved it is not
    what the class means: leave the layer out with `exclude`. `fold` refuses such a model where it can
    tell.

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
        above: The structure of M for these layers, a name or an object, another than the
            decorrelator's, or `None` to leave them plain. Defaults to `"monarch"`.
        head: Convert the layer of the outputs (of the logits), too, if `layers` does not say what to
            convert. Defaults to False: a language model, whose outputs are the frequencies of tokens
            first of all, ends worse with it (see docs/results.md). Learning rules other than
            backpropagation need it. A model with no other layer to convert has it converted.

    Returns:
        A `keras_decorr.Model` or `keras_decorr.Sequential`; where the model is of a class of the user's
        own, one of that class. Its `conversion_report` says for every layer with weights
        what became of it. It is compiled if the model was, with a fresh optimizer.

    Raises:
        TypeError: If `model` is no Keras model, or a selector is none.
        ValueError: If the model is not built or decorrelates already, if a selector matches nothing, if
            `above` is no structure of the decorrelator or its own, if an argument of the decorrelator
            does not suit a layer, or if nothing was converted.

    Example:

    >>> import keras, keras_decorr
    >>> plain = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4), keras.layers.Dense(2)])
    >>> model = keras_decorr.decorrelate(plain)
    >>> [type(layer).__name__ for layer in model.layers]
    ['DecorDense', 'Dense']
    """
    check_model("decorrelate", model)
    if has_decorrelation(model):
        raise ValueError(
            "Argument `model` of decorrelate has decorrelating layers already. Call "
            f"`keras_decorr.fold` first for a plain model. Received: {model!r}"
        )
    chosen = decorrelators.get(decorrelator)
    if chosen is None:
        raise ValueError(
            "Argument `decorrelator` of decorrelate must name a rule. Received: decorrelator=None"
        )
    converter = _Decorrelating(model, chosen, max_features, above)
    converter.selection = Selection(converter.places, layers, exclude)
    if layers is None and not head:
        converter.leave_heads()
    new = converter.clone(_MODEL_TYPES, nested_types={})
    if not converter.report.converted:
        raise ValueError(
            f"decorrelate found nothing to convert in the model {model.name!r}:\n{converter.report}\n"
            f"Received: {model!r}, layers={layers!r}, exclude={exclude!r}, "
            f"max_features={max_features}, above={above!r}"
        )
    if not isinstance(new, DecorrelationStep) and not takes_training(new):
        warnings.warn(
            f"The method `call` of {type(model).__name__} has no argument `training`, so `fit` does "
            "not tell its layers that they are trained, and their M will not move. Define `call(self, "
            "inputs, training=None)` and pass it on, or derive the class from keras_decorr.Model.",
            stacklevel=2,
        )
    return converter.finish(new)


class _Decorrelating(Converter):
    selection: Selection

    def __init__(
        self,
        model: keras.Model,
        decorrelator: Decorrelator,
        max_features: int | None,
        above: str | StructureSpec | None,
    ) -> None:
        super().__init__(model, decorrelating)
        self._decorrelator = decorrelator
        self._max_features = max_features
        self._larger = None
        self.heads: set[int] = set()
        _check_above(decorrelator, max_features, above)
        if max_features is not None and above is not None:
            self._larger = _changed(decorrelator, structure=above)

    def leave_heads(self) -> None:
        """Leaves the layers of the outputs plain, unless there are no others."""
        linear = {id(p.layer) for p in self.places if self.registry.has(p.layer)}
        found = heads(self.model, self.places, lambda layer: id(layer) in linear)
        self.heads = found if linear - found else set()

    def convert(self, layer: Any, inside: bool) -> Any:
        new = self._convert(layer, inside)
        if isinstance(new, str):
            self.leave(layer, new)
            return None
        into = type(new).__name__, structure_of(new), features_of(new)
        self.rows.append(Row(self.path(layer), type(layer).__name__, True, *into))
        return type(new).from_config(new.get_config()) if inside else new

    def load(self, old: Any, new: Any) -> None:
        new.load_plain(old)

    def _convert(self, layer: Any, inside: bool) -> Any:
        """A new built layer, or the reason why there is none."""
        against = self.selection.reason_against(layer) or refusal(layer)
        if against is None and id(layer) in self.heads:
            against = "makes the outputs: see the argument `head`"
        if against:
            return against
        decorrelator = self._decorrelator
        limit = self._max_features
        n = None if limit is None else features(layer, decorrelator.rows)
        if limit is not None and n is not None and n > limit:
            if self._larger is None:
                return f"{n} features, more than max_features={limit}"
            decorrelator = self._larger
        try:
            new = self._built(layer, decorrelator)
        except ValueError as error:
            return self._reason(layer, error)
        if inside and not isinstance(new, str) and not same(new.folded_layer(), layer):
            # The user's class would make it without the bias that a folded mean needs.
            new = self._built(layer, _changed(decorrelator, center=False))
        return new

    def _reason(self, layer: Any, error: ValueError) -> str:
        """What an error says about the layer; if it is about the decorrelator, it is raised."""
        try:  # with the usual settings every layer that has a linear map of features will do
            self._built(layer, decorrelators.get("norm_preserving"))
        except ValueError as about_the_layer:
            return str(about_the_layer)
        raise ValueError(
            f"The decorrelator does not suit layer {self.path(layer)!r}: {error}\nLeave the layer out "
            "with `exclude`, or give the others in `layers`."
        ) from error

    def _built(self, layer: Any, decorrelator: Decorrelator) -> Any:
        new = self.registry.convert(layer, decorrelator)
        if not isinstance(new, str):
            new.supports_masking = layer.supports_masking  # a mask goes no further than before
            build_like(new, layer)
        return new


def _check_above(
    decorrelator: Decorrelator, max_features: int | None, above: str | StructureSpec | None
) -> None:
    """Raise unless layers with more than `max_features` become something else by `above`."""
    own, limited = decorrelator.structure, max_features is not None
    if limited:
        check_count("decorrelate", "max_features", max_features)
    # Where it is not used, its default may be none of the decorrelator's.
    known = decorrelator.structures if limited else decorrelators.Decorrelator.structures
    if above is not None and getattr(above, "name", above) not in known:
        raise ValueError(
            f"Argument `above` of decorrelate must be one of {sorted(known)} or None. "
            f"Received: {above!r}"
        )
    if above is None and not limited:
        raise ValueError(
            "Argument `above` of decorrelate is for layers with more than `max_features` features, and "
            "has no effect without that. Received: above=None, max_features=None"
        )
    if limited and above in (own, own.name):
        raise ValueError(
            "Argument `above` of decorrelate must differ from the structure of the decorrelator, or "
            "`max_features` has no effect. Give above=None to leave wide layers plain, another "
            "structure such as above='block_diagonal', or a decorrelator with structure='full'. "
            f"Received: max_features={max_features}, above={above!r} and a decorrelator with "
            f"structure={own.name!r}"
        )


def _changed(decorrelator: Decorrelator, **arguments: Any) -> Decorrelator:
    changed: Decorrelator = type(decorrelator).from_config(
        {**decorrelator.get_config(), **arguments}
    )
    return changed
