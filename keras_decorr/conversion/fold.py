"""A plain Keras model from a decorrelating one."""

import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_decorr.backend.keras_internals import flatten_layers, forget_traces
from keras_decorr.conversion.checks import check_model, has_decorrelation
from keras_decorr.conversion.compilation import compile_like, renew_optimizer
from keras_decorr.conversion.copying import copied
from keras_decorr.conversion.decorrelated import STANDARD, Decorrelated, is_standard, plain_layers
from keras_decorr.conversion.optimizer_state import carry_over
from keras_decorr.conversion.report import ConversionReport, Row, structure_of
from keras_decorr.conversion.trial import Trial
from keras_decorr.layers import Decorrelation
from keras_decorr.layers.twin import DecorrelatingTwin
from keras_decorr.layers.walk import Place, once, own_weights, walk
from keras_decorr.training.step import DecorrelationStep

_PLAIN = {ours: plain for plain, ours in STANDARD.items()}


def fold(model: Any, keep_optimizer: bool = False, inplace: bool = False) -> Any:
    """A copy of a model in which mean, M and kernel are merged into plain layers; or the model itself.

    In inference the outputs are the same, at the cost of the plain layers; nothing of `keras_decorr` is
    needed to load the model once it is saved.

    This holds for layers that are called. A class of your own that uses the `kernel` of one in its
    code, as to tie weights, gets M^T K in the place of K, and does something else: leave that layer out
    with the `exclude` of `decorrelate`. The outputs before and after are compared on random inputs, if
    the model can be called with random numbers of the shapes that it was built for.

    Args:
        model: A built keras.Model, or layer, with decorrelating layers inside.
        keep_optimizer: Give the optimizer of the new model the state of the old one (steps, momenta,
            mean squares of gradients), mapped to the folded kernels, so that training goes on in plain
            layers without a new start: see `conversion.optimizer_state`. It takes another path than
            with M, as a plain step has no M in it: lower the learning rate (in a dense net to 0.3 of
            it) if the loss rises, or freeze M instead (`callbacks.FreezeDecorrelation`), which leaves
            the path as it is. Defaults to False, a fresh optimizer. For a copy only.
        inplace: Fold the model itself. Defaults to False, a copy, as `decorrelate` makes it.

    Returns:
        A keras.Model or keras.Sequential; where the model is of a class of the user's own, one of that
        class. Layers without a bias get one where a mean has to go somewhere. Its `conversion_report`
        says what became of the layers. It is compiled if the model was, for backpropagation.

    Raises:
        TypeError: If `model` is no Keras model or layer.
        ValueError: If the model is not built or has no decorrelating layers, if Keras cannot copy it,
            if a `Decorrelation` stands in a class of your own, or if the outputs are others once all is
            folded; with `keep_optimizer`, if the model was not trained or has an optimizer that this is
            not for.

    Example:

    >>> import keras, keras_decorr
    >>> plain = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4), keras.layers.Dense(2)])
    >>> model = keras_decorr.fold(keras_decorr.decorrelate(plain))
    >>> [type(layer).__name__ for layer in model.layers]
    ['Dense', 'Dense']
    """
    check_model("fold", model)
    places = list(walk(model, lambda layer: not isinstance(layer, DecorrelatingTwin)))
    if not has_decorrelation(model):
        raise ValueError(
            "Argument `model` of fold has no decorrelating layers. Received: "
            f"{model!r} with layers {[place.layer.name for place in places][:20]}"
        )
    if inplace and keep_optimizer:
        raise ValueError(
            "Argument `keep_optimizer` of fold is for a copy. Received: keep_optimizer=True, "
            "inplace=True"
        )
    _check_places(model, places, inplace)
    trial = Trial(model)
    report = ConversionReport(_row(place) for place in _with_weights(places))
    undo = _undoing(model) if inplace else None
    if inplace:
        new = model
    else:
        standing = {p.layer.name: p.layer for p in places if isinstance(p.layer, Decorrelation)}
        new, layers, variables = copied(model, lambda config: _plain_config(config, standing))
    _merge(new)
    trial.check(
        new,
        "The code of a class may do more with a layer than call it, such as using its `kernel`, which "
        "acts on raw inputs only when folded. Leave that layer out: `keras_decorr.decorrelate(model, "
        "exclude=...)`.",
        undo,
    )
    for layer in twins(new):
        layer.detach()
    _make_plain(new)
    if inplace:
        renew_optimizer(new)
        forget_traces(new)
    elif isinstance(model, keras.Model):
        compile_like(new, model, variables)
    if keep_optimizer:
        carry_over(new, model, layers, variables)
    return report.attach(new)


def _check_places(model: Any, places: list[Place], inplace: bool) -> None:
    """Raises an error, or warns, where the code of a class makes what is to be plain."""
    for place in places:
        layer, owners = place.layer, [model, *place.owners]
        if isinstance(layer, Decorrelation) and (inplace or not all(map(is_standard, owners))):
            raise ValueError(
                f"Layer {place.path!r} cannot be folded: it is no part of another layer"
                f"{'' if inplace else ', and the code of a class makes it'}. Take it out and use the "
                f"layers of keras_decorr.layers behind it. Received: {layer!r}"
            )
        own = [x for x in owners if not is_standard(x)]
        if isinstance(layer, DecorrelatingTwin) and own and not isinstance(own[0], Decorrelated):
            warnings.warn(
                f"The class {type(own[0]).__name__} makes {place.path!r} a {type(layer).__name__}. "
                "Folded, the model cannot be loaded from a file: its code would make that layer again. "
                "Use Keras's layers in the class, and `keras_decorr.decorrelate`.",
                stacklevel=3,
            )
            return


def _with_weights(places: list[Place]) -> list[Place]:
    """Returns the first place of every layer with weights of its own, or that decorrelates."""
    return [
        place
        for place in once(places)
        if own_weights(place.layer) or isinstance(place.layer, DecorrelatingTwin)
    ]


def _row(place: Place) -> Row:
    layer, kind = place.layer, type(place.layer).__name__
    if not isinstance(layer, DecorrelatingTwin | Decorrelation):
        return Row(place.path, kind, False, reason="does not decorrelate")
    plain = layer.twin if isinstance(layer, DecorrelatingTwin) else keras.layers.Dense
    n = layer.features if isinstance(layer, DecorrelatingTwin) else layer.operator.n
    return Row(place.path, kind, True, plain.__name__, structure_of(layer), n)


def _plain_config(config: dict[str, Any], standing: dict[str, Decorrelation]) -> dict[str, Any]:
    """Returns a serialised layer, or the plain one for a `Decorrelation` that stands by itself."""
    if config.get("registered_name") != "keras_decorr>Decorrelation":
        return config
    plain = standing[config["config"]["name"]].plain_layer()
    new: dict[str, Any] = {**config, **keras.saving.serialize_keras_object(plain)}
    return new


def twins(model: Any) -> list[Any]:
    """Returns the outermost decorrelating layers of a model."""
    return [layer for layer in plain_layers(model) if isinstance(layer, DecorrelatingTwin)]


def _merge(model: Any) -> None:
    """Merges every M and mean into the weights of its layer; M becomes the identity, the mean zero."""
    for layer in twins(model):
        if layer.decorrelator is not None:
            layer.merge()
            for part in flatten_layers(layer):
                if isinstance(part, Decorrelation):
                    part.reset()


def _undoing(model: Any) -> Callable[[], None]:
    """Returns a function that takes a `_merge` back, except new biases, which become zero."""
    kept = {id(v): np.array(ops.convert_to_numpy(v)) for x in twins(model) for v in x.variables}

    def undo() -> None:
        for variable in (v for layer in twins(model) for v in layer.variables):
            value = kept.get(id(variable))
            variable.assign(ops.zeros(variable.shape) if value is None else value)

    return undo


def _make_plain(model: Any) -> None:
    """Makes what is marked for decorrelating layers inside instances of their own classes."""
    for layer in list(flatten_layers(model)):
        cls = type(layer)
        plain = cls.plain_class if isinstance(layer, Decorrelated) else _PLAIN.get(cls)
        if plain is None:
            continue
        if isinstance(layer, DecorrelationStep) and not issubclass(plain, DecorrelationStep):
            layer.end_decorrelation_step()
        object.__setattr__(layer, "__class__", plain)
