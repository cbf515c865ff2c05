"""Finds the linear maps of a model and checks the layers around them."""

import math
from typing import Any

import keras

from keras_decorr.backend.keras_internals import (
    Functional,
    flatten_layers,
    nodes,
    producer,
    seed_generators,
)
from keras_decorr.layers.decor_layer import DecorLayer
from keras_decorr.layers.decor_rnn_layer import DecorRNNLayer
from keras_decorr.layers.twin import TWINS

# Of a recurrent layer's twin a rule does not reach the kernel.
_WITH_A_TWIN = {
    plain.__name__: twin.__name__
    for plain, twin in TWINS.items()
    if not issubclass(twin, DecorRNNLayer)
}

# Layers with weights of their own that are no linear maps: they keep their ordinary gradient.
_LOCAL = (
    keras.layers.BatchNormalization,
    keras.layers.LayerNormalization,
    keras.layers.GroupNormalization,
    keras.layers.RMSNormalization,
    keras.layers.PReLU,
    keras.layers.Embedding,
)


def linear_maps(model: keras.Model) -> list[DecorLayer]:
    """Returns the layers with a linear map that a rule can train, those inside others included."""
    return [x for x in flatten_layers(model, include_self=False) if isinstance(x, DecorLayer)]


def check_layers(model: keras.Model, rule: str, local: tuple[type, ...] = _LOCAL) -> None:
    """Raises an error if a model has weights that a rule cannot train.

    Args:
        model: The model, built or not.
        rule: Name of the rule, for the message.
        local: Types of layers whose weights keep their ordinary gradient.

    Raises:
        ValueError: Names the first such layer and what to do.
    """
    maps = linear_maps(model)
    inside = {id(part) for layer in maps for part in flatten_layers(layer)}
    for layer in flatten_layers(model, include_self=False):
        kind = type(layer).__name__
        below = {id(v) for part in flatten_layers(layer, include_self=False) for v in part.weights}
        weights = any(v.trainable and id(v) not in below for v in layer.weights)
        if id(layer) in inside or isinstance(layer, local):
            continue
        if not weights and not (kind in _WITH_A_TWIN and layer.trainable):
            continue
        twin = _WITH_A_TWIN.get(kind)
        remedy = (
            f"Use keras_decorr.layers.{twin}, with `decorrelator=None` if it is not to decorrelate"
            if twin
            else "Set its `trainable=False`, or use learning_rule='backprop'"
        )
        raise ValueError(
            f"The learning rule {rule!r} cannot train the layer {layer.path or layer.name!r} ({kind}). "
            f"{remedy}."
        )
    if not any(layer.trainable for layer in maps):
        raise ValueError(
            f"The learning rule {rule!r} finds nothing to learn in the model {model.name!r}: it needs "
            "a trainable DecorDense or DecorConv2D."
        )


def operations(model: keras.Model) -> Any:
    """Returns the operations of a Functional or built Sequential model; of another model `None`."""
    if isinstance(model, keras.Sequential):
        return model.layers if hasattr(model, "outputs") else None
    return model.operations if isinstance(model, Functional) else None


def first_maps(model: keras.Model) -> set[int]:
    """Returns the ids of linear maps with no trainable layer before them.

    Only of those it can be told that stand in the graph of a Functional or Sequential model.
    """
    known = {id(operation) for operation in operations(model) or ()}

    def learns_before(operation: Any) -> bool:
        for node in nodes(operation):
            for tensor in node.input_tensors:
                before = producer(tensor)
                if id(before) not in known:
                    continue
                weights = getattr(before, "variables", ())
                if weights or learns_before(before):
                    return True
        return False

    return {
        id(layer) for layer in linear_maps(model) if id(layer) in known and not learns_before(layer)
    }


def widest_map(model: keras.Model) -> int | None:
    """Returns the outputs per sample of the widest linear map, or `None` if they are not known."""
    shapes = [
        tensor.shape[1:]
        for layer in linear_maps(model)
        for node in nodes(layer)
        for tensor in node.output_tensors
    ]
    if not shapes or any(None in shape for shape in shapes):
        return None
    return max(int(math.prod(shape)) for shape in shapes)


def output_chain(output: Any) -> list[Any] | None:
    """Returns the linear map that made an output and the layers after it, or `None`."""
    after: list = []
    operation = producer(output)
    while not isinstance(operation, DecorLayer):
        calls = nodes(operation)
        if getattr(operation, "variables", None) or len(calls) != 1:
            return None
        if len(calls[0].input_tensors) != 1:
            return None
        after.insert(0, operation)
        operation = producer(calls[0].input_tensors[0])
    return None if len(nodes(operation)) != 1 else [operation, *after]


def check_every_pass_is_the_same(model: keras.Model, rule: str) -> None:
    """Raises an error for layers whose second forward pass in a step differs from the first.

    Raises:
        ValueError: Names the first such layer and what to do.
    """
    for layer in flatten_layers(model, include_self=False):
        normalises = isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
        if not normalises and not _draws(layer):
            continue
        remedy = "Set its `trainable=False`" if normalises else "Remove it"
        raise ValueError(
            f"The learning rule {rule!r} compares forward passes that differ in its own noise alone, "
            f"and the layer {layer.path or layer.name!r} ({type(layer).__name__}) differs between two "
            f"passes. {remedy}, or use another learning rule."
        )


def _draws(layer: Any) -> bool:
    """Returns whether a layer draws at random. A recurrent cell always has a seed generator."""
    names = ("rate", "stddev", "dropout", "recurrent_dropout")
    rates = [getattr(layer, name) for name in names if hasattr(layer, name)]
    return bool(seed_generators(layer)) and (not rates or any(rates))
