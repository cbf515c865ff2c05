"""Finds the layers that make the outputs of a model, such as the layer of the logits."""

from collections.abc import Callable, Iterable
from typing import Any

import keras

from keras_decorr.backend.keras_internals import Functional, nodes, producer, sublayers
from keras_decorr.layers.call import has_call
from keras_decorr.layers.walk import Place, walk


def heads(
    model: keras.Model, places: Iterable[Place], is_linear: Callable[[Any], bool]
) -> set[int]:
    """Returns the ids of the linear maps behind which no other layer with weights comes.

    In a Sequential or functional model they are found from its outputs backwards, past layers without
    weights that have one input (activations, dropout, pooling). Of a model of another kind the graph is
    not known, and the linear map that it tracks last stands for them; of one without a `call`, which
    only holds models that its training step calls, they are the heads of these.

    Args:
        model: A built Keras model.
        places: Every `Place` of the model.
        is_linear: Tells whether a layer is a linear map.
    """
    outputs = _outputs(model)
    if outputs is None and not has_call(model):
        parts = (part for part in sublayers(model) if isinstance(part, keras.Model))
        return {head for part in parts for head in heads(part, walk(part), is_linear)}
    if outputs is None:
        linear = [place.layer for place in places if is_linear(place.layer)]
        return {id(layer) for layer in linear[-1:]}
    found = (_maker(tensor, is_linear) for tensor in outputs)
    return {id(layer) for layer in found if layer is not None}


def _outputs(model: Any) -> list | None:
    """Returns the symbolic outputs of a Sequential or functional model, or `None` of another."""
    if isinstance(model, keras.Sequential | Functional) and getattr(model, "outputs", None):
        return list(keras.tree.flatten(model.outputs))
    return None


def _maker(tensor: Any, is_linear: Callable[[Any], bool]) -> Any:
    """Returns the linear map that made a symbolic tensor, or `None`."""
    while True:
        operation = producer(tensor)
        if is_linear(operation):
            return operation
        calls = [call for call in nodes(operation) if tensor in call.output_tensors]
        inner = _outputs(operation)
        if inner is not None:
            tensor = inner[[*calls[0].output_tensors].index(tensor)] if calls else inner[0]
        elif (
            getattr(operation, "weights", None)
            or len(calls) != 1
            or len(calls[0].input_tensors) != 1
        ):
            return None
        else:
            (tensor,) = calls[0].input_tensors
