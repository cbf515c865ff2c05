"""Measures the state of each decorrelation of a model.

N. Ahmad, "Correlations Are Ruining Your Gradient Descent", arXiv 2407.10780.
"""

import math
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from keras_decorr.layers import Decorrelation
from keras_decorr.metrics import correlation
from keras_decorr.metrics.condition_number import ratio
from keras_decorr.metrics.sampled_inputs import SampledInputs, sampled_inputs
from keras_decorr.typing import Tensors


class DecorrelationState(NamedTuple):
    """Holds the figures of one `Decorrelation`; see `decorrelation_state`.

    "Before" is of the centred raw inputs `z`, "after" of the decorrelated ones `u = M z`.

    Attributes:
        name: Path of the layer within the model.
        features: Features `n` that M decorrelates.
        structure: Structure of M.
        rate: Decorrelation rate of the last step.
        steps: Decorrelation steps taken.
        skipped_updates: Steps of these that were skipped, for a NaN or an infinity in the batch.
        rows: Rows that the figures below are from; 0 for a layer that is frozen or was not called, for
            which they are NaN.
        energy_before: `metrics.off_diagonal_energy`.
        energy_after: The same.
        whiteness_before: `metrics.whiteness`.
        whiteness_after: The same.
        condition: Condition number of M: `sigma_max / sigma_min`.
        correlation_condition_before: `metrics.correlation_condition`.
        correlation_condition_after: The same.
        gain: `metrics.gain` of the inputs whose norm M keeps (see `NormPreserving`) and of the
            decorrelated ones.
        rank_before: `metrics.effective_rank`.
        rank_after: The same.

    Example:

    >>> import keras_decorr
    >>> keras_decorr.metrics.DecorrelationState._fields[:3]
    ('name', 'features', 'structure')
    """

    name: str
    features: int
    structure: str
    rate: float
    steps: int
    skipped_updates: int
    rows: int
    energy_before: float
    energy_after: float
    whiteness_before: float
    whiteness_after: float
    condition: float
    correlation_condition_before: float
    correlation_condition_after: float
    gain: float
    rank_before: float
    rank_after: float


def decorrelation_state(
    model: keras.Model, x: Tensors, max_rows: int = 1024
) -> list[DecorrelationState]:
    """Measures the correlation of the inputs of every layer before and after M, and M itself.

    The model runs on `x` as in training, but nothing is changed. With few rows everything looks
    correlated: give at least as many samples as the widest dense layer has features, if you want the
    figures of one net by themselves; to compare nets or epochs, any fixed batch will do.

    The features of a grouped or depthwise convolution meet in their own part only: energy and whiteness
    are then means over the parts, the condition is that of the worst part, and ranks are summed.

    Args:
        model: A built Keras model with decorrelating layers.
        x: Inputs of a batch, an array or tensor or a structure of them.
        max_rows: The most rows (samples, steps, patches) a layer. Defaults to 1024.

    Returns:
        A list of `DecorrelationState`, one for each `Decorrelation` with an M.

    Raises:
        ValueError: If the model is not built, or has no decorrelating layer, or `max_rows` is not a
            positive integer.

    Example:

    >>> import keras, numpy as np, keras_decorr
    >>> layer = keras_decorr.layers.DecorDense(3, name="out")
    >>> model = keras_decorr.Sequential([keras.Input((6,)), layer])
    >>> x = np.random.rand(32, 6).astype("float32")
    >>> (state,) = keras_decorr.metrics.decorrelation_state(model, x)
    >>> state.name, state.condition
    ('out', 1.0)
    """
    factor = getattr(model, "decorrelation_rate_factor", 1.0)
    return [state_of(seen, factor) for seen in sampled_inputs(model, x, max_rows)]


def matrix_condition(layer: Decorrelation) -> float:
    """Computes the condition number of the M of a `Decorrelation`.

    Exact up to 256 features and for a low-rank M, else and for a Monarch M to about one in a hundred.

    Args:
        layer: A built `keras_decorr.layers.Decorrelation`.

    Returns:
        A float from 1 upwards; infinite for a singular M, NaN for one that is not all finite.
    """
    matrices = [ops.convert_to_numpy(M).astype("float64") for M in layer.matrices]
    if not all(np.isfinite(M).all() for M in matrices):
        return math.nan
    return ratio(*layer.operator.singular_range(matrices))


def state_of(seen: SampledInputs, factor: float = 1.0) -> DecorrelationState:
    """Computes the `DecorrelationState` of one of the `SampledInputs`.

    Args:
        seen: The inputs of a layer.
        factor: By which a rate that follows the optimizer's is multiplied.
    """
    layer, d = seen.layer, seen.layer.decorrelator
    parts = layer.work.parts
    before, after = (_figures(rows, parts) for rows in (seen.centred, seen.decorrelated))
    return DecorrelationState(
        name=seen.name,
        features=layer.operator.n,
        structure=layer.operator.name,
        rate=float(ops.convert_to_numpy(d.learning_rate)) * (factor if d.follows else 1.0),
        steps=int(ops.convert_to_numpy(layer.steps)),
        skipped_updates=int(ops.convert_to_numpy(layer.skipped_updates)),
        rows=0 if seen.raw is None else len(seen.raw),
        energy_before=before.energy,
        energy_after=after.energy,
        whiteness_before=before.whiteness,
        whiteness_after=after.whiteness,
        condition=matrix_condition(layer),
        correlation_condition_before=before.condition,
        correlation_condition_after=after.condition,
        gain=_gain(seen),
        rank_before=before.rank,
        rank_after=after.rank,
    )


def _gain(seen: SampledInputs) -> float:
    if seen.raw is None:
        return math.nan
    raw = getattr(seen.layer.decorrelator, "preserve", None) == "raw"
    kept = seen.raw if raw else seen.centred
    return correlation.gain(kept, seen.decorrelated)


def _figures(rows: np.ndarray | None, parts: int) -> correlation.Figures:
    if rows is None:
        return correlation.Figures(*[math.nan] * 4)
    found = [correlation.figures(piece) for piece in np.split(rows, parts, axis=1)]
    energy, whiteness, condition, rank = zip(*found, strict=True)
    return correlation.Figures(
        float(np.mean(energy)),
        float(np.mean(whiteness)),
        float(np.max(condition)),
        float(sum(rank)),
    )
