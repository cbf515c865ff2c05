"""A decorrelating model from a plain one."""

import warnings
from typing import Any

import keras

from keras_decorr import decorrelators
from keras_decorr.backend.keras_internals import (
    become,
    flatten_layers,
    forget_traces,
    sublayers,
)
from keras_decorr.conversion.checks import check_model, has_decorrelation
from keras_decorr.conversion.compilation import compile_like
from keras_decorr.conversion.copying import copied
from keras_decorr.conversion.decorrelated import STANDARD, is_standard, mark
from keras_decorr.conversion.heads import heads
from keras_decorr.conversion.no_twin import is_leaf, reason_against
from keras_decorr.conversion.report import ConversionReport, Row, structure_of
from keras_decorr.conversion.selection import Selection
from keras_decorr.conversion.trial import Trial
from keras_decorr.decorrelators import Decorrelator
from keras_decorr.decorrelators.arguments import check_count
from keras_decorr.decorrelators.structures import StructureSpec
from keras_decorr.layers.call import has_call, takes_training
from keras_decorr.layers.decorrelation import TooManyFeaturesError, at_most
from keras_decorr.layers.twin import TWINS, DecorrelatingTwin
from keras_decorr.layers.walk import Place, once, own_weights, walk
from keras_decorr.training.step import DecorrelationStep


def decorrelate(
    model: Any,
    decorrelator: Decorrelator | str = "norm_preserving",
    layers: Any = None,
    exclude: Any = None,
    max_features: int | None = None,
    above: str | StructureSpec | None = "monarch",
    head: bool = False,
    inplace: bool = False,
) -> Any:
    """A copy of a model whose linear maps see decorrelated inputs; or the model itself, made so.

    Dense layers, convolutions, recurrent layers and the projections of attention become decorrelating
    where they are, whoever made them: in a Sequential or functional model, in attributes and lists of
    classes of your own, shared, nested, wrapped. Nothing else is touched: weights, names, methods and
    the training step of a class of your own stay. M starts as the identity: until it is trained, the
    outputs are what they were, which is checked on random inputs. `fold` leads back.

    The `kernel` of a decorrelating layer acts on decorrelated inputs. A class of your own that uses the
    `kernel` of a layer in its code, as to tie weights, gets that one, and once M has moved it is not
    what the class means: leave the layer out with `exclude`. `fold` refuses such a model where it can
    tell.

    Args:
        model: A built keras.Model of any kind, or a built layer with layers inside.
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
        inplace: Convert the model itself. Defaults to False, a copy, which Keras makes as it saves and
            loads: so the configuration of each class of your own must give it back.

    Returns:
        The converted model, of its own class, and a `keras_decorr.Model` or `keras_decorr.Sequential`
        if it was Keras's. Unless its class has a `train_step` of its own, M moves once a step, at a
        rate that follows the optimizer's; else at each call with `training=True`. Its
        `conversion_report` says for every layer with weights what became of it. A copy is compiled if
        the model was, with a fresh optimizer.

    Raises:
        TypeError: If `model` is no Keras model or layer, or a selector is none.
        ValueError: If the model is not built or decorrelates already, if Keras cannot copy it, if a
            selector matches nothing, if `above` is no structure of the decorrelator or its own, if an
            argument of the decorrelator does not suit a layer, if nothing was converted, or if the
            outputs are others than before.

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
    _check_above(chosen, max_features, above)
    places = list(walk(model, lambda layer: not is_leaf(layer)))
    selection = Selection(places, layers, exclude)
    left = _heads(model, places) if layers is None and not head else set()
    if inplace:
        new, of_new = model, {id(x): x for x in flatten_layers(model)}
    else:
        new, of_new, variables = copied(model)
    conversion = _Conversion(new, chosen, max_features, above)
    trial = Trial(model)
    try:
        for place in once(places):
            layer = place.layer
            if id(layer) not in of_new:
                continue  # without weights, made at the first call
            reason = selection.reason_against(layer)
            if reason is None and id(layer) in left:
                reason = "makes the outputs: see the argument `head`"
            conversion.convert(of_new[id(layer)], place, reason)
        report = ConversionReport(conversion.rows)
        if not report.converted:
            raise ValueError(
                f"decorrelate found nothing to convert in the model {model.name!r}:\n{report}\n"
                f"Received: {model!r}, layers={layers!r}, exclude={exclude!r}, "
                f"max_features={max_features}, above={above!r}"
            )
        trial.check(
            new,
            "If its configuration does not give back all of a layer, convert the model itself: give "
            "`inplace=True`. Else leave that layer out with `exclude`.",
            conversion.undo if inplace else None,
        )
    except BaseException:
        conversion.undo()
        raise
    _finish(new)
    if inplace:
        forget_traces(new)
    elif isinstance(model, keras.Model):
        compile_like(new, model, variables)
    return report.attach(new)


def _heads(model: Any, places: list[Place]) -> set[int]:
    """Returns the ids of the layers of the outputs, unless there are no others."""
    linear = {id(place.layer) for place in places if type(place.layer) in TWINS}
    found = heads(model, places, lambda layer: id(layer) in linear)
    return found if linear - found else set()


def _finish(model: Any) -> None:
    """Makes what has decorrelating layers inside save them, and a model train them in its step."""
    trains = (
        isinstance(model, keras.Model) and type(model).train_step is keras.Model.train_step
    ) or isinstance(model, DecorrelationStep)
    for owner in _owners(model):
        mark(owner, trains=trains and owner is model)
    if type(model) in STANDARD:
        become(model, STANDARD[type(model)])
        model.start_decorrelation_step()
    is_model = isinstance(model, keras.Model)
    if is_model and not trains and has_call(model) and not takes_training(model):
        warnings.warn(
            f"The method `call` of {type(model).__name__} has no argument `training`, so `fit` does "
            "not tell its layers that they are trained, and their M will not move. Define `call(self, "
            "inputs, training=None)` and pass it on, or derive the class from keras_decorr.Model.",
            stacklevel=3,
        )


def _owners(model: Any) -> list[Any]:
    """Returns the outermost of a class of their own with decorrelating layers inside."""
    if isinstance(model, DecorrelatingTwin) or not has_decorrelation(model):
        return []
    if not is_standard(model):
        return [model]
    return [owner for layer in sublayers(model) for owner in _owners(layer)]


class _Conversion:
    """Attaches M to the layers of one model."""

    def __init__(
        self,
        model: Any,
        decorrelator: Decorrelator,
        max_features: int | None,
        above: str | StructureSpec | None,
    ) -> None:
        self.rows: list[Row] = []
        self._model = model
        self._decorrelator = decorrelator
        self._max_features = max_features
        self._larger = None
        if max_features is not None and above is not None:
            self._larger = _changed(decorrelator, structure=above)

    def convert(self, layer: Any, place: Place, reason: str | None) -> None:
        """Attaches M to a layer, or writes down why not.

        Args:
            layer: The layer.
            place: Where it is.
            reason: Why the user leaves it out, or `None`.
        """
        if not is_leaf(layer) and not own_weights(layer):
            return  # what is inside comes one by one
        reason = reason or reason_against(layer) or self._attach(layer, place)
        kind = place.layer.__class__.__name__
        if reason is None:
            into = type(layer).__name__, structure_of(layer), layer.features
            self.rows.append(Row(place.path, kind, True, *into))
        elif layer.weights:
            self.rows.append(Row(place.path, kind, False, reason=reason))

    def undo(self) -> None:
        """Makes all layers plain again."""
        for layer in list(flatten_layers(self._model, include_self=False)):
            if isinstance(layer, DecorrelatingTwin):
                layer.detach()

    def _attach(self, layer: Any, place: Place) -> str | None:
        """Attaches M to a layer, or returns why not."""
        twin, decorrelator = TWINS[type(layer)], self._decorrelator
        reason: str | None = twin.reason_against(layer, decorrelator)
        if reason is not None:
            return reason
        try:
            with at_most(self._max_features):
                twin.attach(layer, decorrelator)
        except TooManyFeaturesError as error:
            if self._larger is None:
                return f"{error.n} features, more than max_features={self._max_features}"
            decorrelator = self._larger
            twin.attach(layer, decorrelator)
        except ValueError as error:
            return self._reason(layer, place, error)
        if not layer.takes_mean and not all(map(is_standard, (self._model, *place.owners))):
            # The user's class would make it without the bias that a folded mean needs.
            layer.detach()
            twin.attach(layer, _changed(decorrelator, center=False))
        return None

    def _reason(self, layer: Any, place: Place, error: ValueError) -> str:
        """Returns what an error says about the layer; if it is about the decorrelator, it is raised."""
        try:  # with the usual settings every layer that has a linear map of features will do
            TWINS[type(layer)].attach(layer, decorrelators.get("norm_preserving"))
        except ValueError as about_the_layer:
            return str(about_the_layer)
        layer.detach()
        raise ValueError(
            f"The decorrelator does not suit layer {place.path!r}: {error}\nLeave the layer out with "
            "`exclude`, or give the others in `layers`."
        ) from error


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
