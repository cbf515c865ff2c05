"""Collects the rows that each decorrelation of a model sees, before and after M."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_decorr.backend.inference import without_side_effects
from keras_decorr.backend.keras_internals import sync_state
from keras_decorr.context import collection
from keras_decorr.decorrelators.arguments import check_count
from keras_decorr.decorrelators.sample import pool
from keras_decorr.layers import Decorrelation
from keras_decorr.layers.call import call_in_training
from keras_decorr.layers.sampling import sampling_all
from keras_decorr.training.step import name_within, required_decorrelation_layers
from keras_decorr.typing import Tensors


class SampledInputs(NamedTuple):
    """Holds the rows that one `Decorrelation` saw: samples, steps of a sequence, or patches.

    Attributes:
        name: Path of the layer within the model.
        layer: The `Decorrelation`.
        raw: `(k, n)` float32 inputs; `None` for a layer that is frozen, or that the model did not call.
        centred: `(k, n)` the same less the mean of the batch, or with `center=False` as they are.
        decorrelated: `(k, n)` what M makes of the centred ones.

    Example:

    >>> import keras_decorr
    >>> keras_decorr.metrics.SampledInputs._fields
    ('name', 'layer', 'raw', 'centred', 'decorrelated')
    """

    name: str
    layer: Any
    raw: Any
    centred: Any
    decorrelated: Any


def sampled_inputs(model: keras.Model, x: Tensors, max_rows: int = 1024) -> list[SampledInputs]:
    """Runs a model on a batch as in training and returns the rows that each decorrelation sees.

    No weight, M, moving mean or seed is changed. All samples of `x` count, not the fraction of them
    that a decorrelator takes in training.

    Args:
        model: A built Keras model with decorrelating layers.
        x: Inputs of a batch, an array or tensor or a structure of them.
        max_rows: The most rows a layer; where there are more (steps, patches) they are spread evenly.
            Defaults to 1024.

    Returns:
        A list of `SampledInputs` of arrays, one for each `Decorrelation` with an M.

    Raises:
        ValueError: If the model is not built, or has no decorrelating layer, or `max_rows` is not a
            positive integer.

    Example:

    >>> import keras, numpy as np, keras_decorr
    >>> layer = keras_decorr.layers.DecorDense(3, name="out")
    >>> model = keras_decorr.Sequential([keras.Input((6,)), layer])
    >>> (seen,) = keras_decorr.metrics.sampled_inputs(model, np.random.rand(8, 6).astype("float32"))
    >>> seen.name, seen.decorrelated.shape
    ('out', (8, 6))
    """
    check_count("sampled_inputs", "max_rows", max_rows)
    layers = required_decorrelation_layers(model)
    sync_state(model)
    x = keras.tree.map_structure(ops.convert_to_tensor, x)
    with ExitStack() as stack:
        stack.enter_context(without_side_effects())
        stack.enter_context(keras.StatelessScope())  # what the layers assign stays in it
        for layer in layers:
            stack.enter_context(sampling_all(layer.decorrelator, max_rows))
        samples = stack.enter_context(collection.collect())
        call_in_training(model, x)
        found = {id(layer): _before_and_after(layer, s) for layer, s in samples.flush()}
    nothing = (None, None, None)
    return [
        SampledInputs(name, layer, *found.get(id(layer), nothing))
        for name, layer in zip(names_of(layers, model), layers, strict=True)
    ]


def _before_and_after(layer: Decorrelation, samples: list) -> tuple[np.ndarray, ...]:
    sample = pool(samples, layer.decorrelator.center)
    X, mean = sample.X, sample.mean
    Z = X if mean is None else X - mean
    U = layer.operator.apply([ops.convert_to_tensor(M) for M in layer.matrices], Z)
    weights = sample.weights
    kept = slice(None) if weights is None else ops.convert_to_numpy(weights) > 0.0
    return tuple(ops.convert_to_numpy(rows)[kept] for rows in (X, Z, U))


def names_of(layers: Sequence[Decorrelation], model: keras.Model) -> list[str]:
    """Returns a unique name for each layer, even if a user's class gives two layers one name."""
    names: list[str] = []
    for layer in layers:
        name = name_within(layer, model)
        again = sum(other == name or other.startswith(f"{name}#") for other in names)
        names.append(f"{name}#{again + 1}" if again else name)
    return names
