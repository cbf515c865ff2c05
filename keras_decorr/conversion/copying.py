"""A copy of a layer or model, made as Keras saves and loads it."""

import functools
import tempfile
import warnings
from collections.abc import Iterator
from types import FunctionType
from typing import Any

import keras
import numpy as np

from keras_decorr.backend.keras_internals import (
    flatten_layers,
    mark_called_like,
    seed_generators,
    sublayers,
)
from keras_decorr.layers import Decorrelation
from keras_decorr.layers.twin import DecorrelatingTwin
from keras_decorr.layers.walk import own_weights
from keras_decorr.training.model import Sequential


def copied(model: Any, edit: Any = None) -> tuple[Any, dict[int, Any], dict[int, Any]]:
    """Copies a built layer or model with its state. The copy is not compiled.

    Classes and functions need not be registered. A function of a `Lambda` is shared, not copied.

    Args:
        model: The layer or model.
        edit: A function of each serialised object (a dictionary with a `"class_name"`), which returns
            it or another in its place; or `None`.

    Returns:
        `(copy, layers, variables)`: the copy, and the layers and variables in it by the ids of those of
        the original.

    Raises:
        ValueError: If Keras cannot make another one from its configuration.
    """
    try:
        with warnings.catch_warnings():
            # Keras builds them when it calls them.
            warnings.filterwarnings("ignore", "`build\\(\\)` was called on layer")
            new = _made_again(model, edit)
        if model.built and not new.built:
            new.build_from_config(model.get_build_config() or {})
        pairs = list(_pairs(model, new))
        for old, ours in pairs:  # a flag of a model sets those of all that is in it
            ours.name = old.name
            if ours.trainable != old.trainable:
                ours.trainable = old.trainable
        for old, ours in pairs:
            _copy_state(old, ours)
    except Exception as error:
        raise ValueError(
            f"Keras cannot copy {type(model).__name__} {model.name!r}: {type(error).__name__}: "
            f"{error}\nImplement `get_config` so that `from_config` gives it back, or convert the "
            "model itself: give `inplace=True`."
        ) from error
    if isinstance(model, keras.Model):
        mark_called_like(new, model)  # so that Keras exports a copy of a model that it exports
    layers = {id(old): ours for old, ours in pairs}
    variables = {
        id(old): ours
        for layers_of_both in pairs
        for old, ours in zip(*map(own_weights, layers_of_both), strict=False)
    }
    return new, layers, variables


def _pairs(old: Any, new: Any) -> Iterator[tuple[Any, Any]]:
    """Yields the layers of both from the outside in, each once; the first are the arguments."""
    seen: set[int] = set()
    waiting = [(old, new)]
    while waiting:
        old, new = waiting.pop()
        if id(old) in seen:
            continue
        seen.add(id(old))
        yield old, new
        theirs, ours = list(sublayers(old)), list(sublayers(new))
        # One that a layer makes when it is first called may be missing, if it has no variables.
        if len(theirs) < len(ours) or any(layer.variables for layer in theirs[len(ours) :]):
            raise ValueError(
                f"{old.name!r} has {len(theirs)} layers inside, that of the copy has {len(ours)}"
            )
        waiting.extend(zip(theirs, ours, strict=False))
        # Past Keras's tracking, as KerasHub holds a preprocessor on PyTorch.
        held = ((value, vars(new).get(name)) for name, value in vars(old).items())
        waiting.extend(
            pair for pair in held if all(isinstance(x, keras.layers.Layer) for x in pair)
        )


def _made_again(model: Any, edit: Any) -> Any:
    """Returns a layer or model with the configuration of another."""
    config = keras.saving.serialize_keras_object(model)
    config.pop("compile_config", None)
    lambdas = [x for x in flatten_layers(model) if isinstance(x, keras.layers.Lambda)]
    functions = {f"function of {layer.name}": layer.function for layer in lambdas}

    def edited(config: Any) -> Any:
        name = f"function of {config['config']['name']}" if config["class_name"] == "Lambda" else ""
        if name in functions:
            # From a file it would not know the names of its module.
            reference = {"module": "builtins", "class_name": "function", "config": name}
            function = {**reference, "registered_name": name}
            config = {**config, "config": {**config["config"], "function": function}}
        return edit(config) if edit else config

    config = _edited(config, edited)
    # A lambda of this process is as safe as its model.
    make = functools.partial(keras.saving.deserialize_keras_object, safe_mode=False)
    with keras.saving.custom_object_scope(_names(model) | functions):
        if type(model) not in (keras.Sequential, Sequential) or not model.built:
            return make(config)
        # Keras would add layer after layer and build the model anew each time.
        layers = [make(layer) for layer in config["config"]["layers"]]
    new = type(model)(layers, name=model.name)
    if not new.built:
        new.build_from_config(model.get_build_config())
    new.dtype_policy = model.dtype_policy
    return new


def _names(model: Any) -> dict[str, Any]:
    """Returns the classes and functions of a model by the names under which Keras looks for them."""
    found: dict[str, Any] = {}
    for layer in flatten_layers(model):
        cls = getattr(type(layer), "plain_class", type(layer))
        if not cls.__module__.startswith(("keras.", "keras_decorr.")):
            found[keras.saving.get_registered_name(cls)] = cls
            found[cls.__name__] = cls
        functions = (value for value in vars(layer).values() if isinstance(value, FunctionType))
        found |= {f.__name__: f for f in functions if not f.__module__.startswith("keras.")}
    return found


def _edited(config: Any, edit: Any) -> Any:
    if isinstance(config, dict):
        config = {key: _edited(value, edit) for key, value in config.items()}
        return edit(config) if "class_name" in config else config
    if isinstance(config, list | tuple):
        return type(config)(_edited(value, edit) for value in config)
    return config


def _copy_state(old: Any, new: Any) -> None:
    """Gives a layer what another has beside the layers inside it: variables, vocabularies, seeds."""
    if _kind(old) is not _kind(new):
        if not isinstance(old, Decorrelation):  # for which `fold` puts in another layer
            raise TypeError(f"its {old.name!r} is a {type(new).__name__}, no {type(old).__name__}")
        new.set_weights(old.folded_weights())
        return
    weights = own_weights(old), own_weights(new)
    if len(weights[0]) != len(weights[1]):
        raise ValueError(
            f"{old.name!r} has {len(weights[0])} weights, that of the copy has {len(weights[1])}"
        )
    store: dict[str, Any] = {}
    # What a layer derives from its variables, or keeps beside them, comes along only this way.
    old.save_own_variables(store)
    new.load_own_variables({name: _apart(value) for name, value in store.items()})
    # Of what a class does there, such as merging LoRA, nothing is wanted of a copy.
    for theirs, ours in zip(*weights, strict=True):
        ours.assign(_apart(theirs))
    if getattr(old, "stateful", False) and getattr(old, "states", None) is not None:
        states = (keras.tree.flatten(layer.states) for layer in (old, new))
        for theirs, ours in zip(*states, strict=True):
            ours.assign(_apart(theirs))
    if hasattr(old, "save_assets"):
        with tempfile.TemporaryDirectory() as folder:
            old.save_assets(folder)
            new.load_assets(folder)
    for theirs, ours in zip(seed_generators(old), seed_generators(new), strict=True):
        ours.state.assign(_apart(theirs.state))


def _kind(layer: Any) -> type:
    """Returns the class of a layer without what decorrelation has made of it."""
    if isinstance(layer, DecorrelatingTwin):
        kind: type = layer.twin
        return kind
    return getattr(type(layer), "plain_class", type(layer))


def _apart(value: Any) -> Any:
    """Returns a variable as an array: on JAX a training step deletes the arrays that it has used up."""
    if isinstance(value, keras.Variable) or keras.ops.is_tensor(value):
        return np.array(keras.ops.convert_to_numpy(value))
    return value
