"""Sets M from data at once, before a model is trained."""

import itertools
import warnings
from contextlib import ExitStack
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_decorr.backend.inference import without_side_effects
from keras_decorr.backend.keras_internals import sync_state
from keras_decorr.context import collection
from keras_decorr.decorrelators.arguments import check_count, check_number
from keras_decorr.layers.call import call_in_training
from keras_decorr.layers.decorrelation import DAMPING, ROWS, Adaptation
from keras_decorr.layers.sampling import sampling_all
from keras_decorr.training.step import required_decorrelation_layers
from keras_decorr.typing import Tensors


def adapt(
    model: keras.Model, data: Any, damping: float = DAMPING, samples: int = 1024, rows: int = ROWS
) -> None:
    """Sets the M and the mean of every decorrelating layer of a model from data, before training.

    As `keras.layers.Normalization.adapt` does for the first layer, here for all of them: the model runs
    once on the data, and each layer gets, stage by stage of its M,

        M = g (C + d mean(l) I)^(-1/2)

    with the covariance `C` of its inputs as the layers before it now give them, the mean eigenvalue
    `mean(l)` of `C`, and the gain `g` that keeps the norm of the inputs. From there M goes on learning.

    Call it on a model with fresh weights: its outputs change, as the weights stay. Layers that are
    frozen, or whose M has been updated (a model that resumes, or was loaded), keep what they have.

    Args:
        model: A built Keras model with decorrelating layers.
        data: Inputs as `fit` takes them: arrays or tensors (or a structure of them), or a dataset that
            yields batches `x`, `(x, y)` or `(x, y, sample_weight)`.
        damping: `d`, at least 0. With 0 the inputs of every map are white. Defaults to 10, soft
            whitening: hard whitening amplifies directions that are noise.
        samples: The most samples to run the model on, in one batch. Of arrays they are spread evenly.
            Defaults to 1024.
        rows: The most rows (samples, steps, patches) of a layer. Defaults to 4096.

    Raises:
        ValueError: If the model is not built, or has no decorrelating layer, or if an argument is out
            of its range, or there is no data.

    Example:

    >>> import numpy as np, keras, keras_decorr
    >>> model = keras_decorr.models.dense_net((8, 8, 1), 10, hidden=(16,))
    >>> keras_decorr.adapt(model, np.random.rand(256, 8, 8, 1).astype("float32"))
    >>> bool(model.decorrelation_layers[0].matrices[0].numpy().std() > 0)
    True
    """
    check_number("adapt", "damping", damping, 0.0)
    check_count("adapt", "samples", samples)
    check_count("adapt", "rows", rows)
    layers = required_decorrelation_layers(model)
    x = _first_samples(data, samples)
    sync_state(model)
    fresh = [x for x in layers if not int(ops.convert_to_numpy(x.steps)) and x.trainable]
    if not fresh:
        warnings.warn(
            f"adapt changed nothing: every M of the model {model.name!r} is frozen or has been updated "
            "already.",
            stacklevel=2,
        )
        return
    with ExitStack() as stack:
        stack.enter_context(without_side_effects())
        for layer in layers:
            stack.enter_context(sampling_all(layer.decorrelator, rows))
        adaptation = Adaptation(damping, fresh)
        # What else the layers assign (statistics of BatchNormalization, seeds) stays in the scope.
        with keras.StatelessScope() as scope, collection.opened(adaptation):
            call_in_training(model, x)
        for variable in itertools.chain(*(layer.variables for layer in fresh)):
            value = scope.get_current_value(variable)
            if value is not None:
                variable.assign(value)


def _first_samples(data: Any, samples: int) -> Tensors:
    """Returns inputs of at most so many samples as a structure of tensors."""
    if hasattr(data, "shape") or isinstance(data, dict | list | tuple):
        return keras.tree.map_structure(lambda x: _spread(x, samples), data)
    if isinstance(data, keras.utils.PyDataset):
        data = map(data.__getitem__, range(len(data)))
    batches, count = [], 0
    for batch in data:
        x = keras.utils.unpack_x_y_sample_weight(batch)[0]
        batches.append(keras.tree.map_structure(ops.convert_to_numpy, x))
        count += len(keras.tree.flatten(batches[-1])[0])
        if count >= samples:
            break
    if not batches:
        raise ValueError(f"Argument `data` of adapt has no batch. Received: {data!r}")
    return keras.tree.map_structure(
        lambda *x: ops.convert_to_tensor(np.concatenate(x)[:samples]), *batches
    )


def _spread(x: Any, samples: int) -> Any:
    if len(x) == 0:
        raise ValueError("Argument `data` of adapt has no samples.")
    places = np.linspace(0, len(x) - 1, min(len(x), samples)).astype("int32")
    return ops.convert_to_tensor(x[places] if isinstance(x, np.ndarray) else ops.take(x, places, 0))
