"""Metrics of decorrelation and of the updates of a learning rule."""

from keras_decorr.metrics.alignment_angle import AlignmentAngle, angle
from keras_decorr.metrics.condition_number import condition_number
from keras_decorr.metrics.correlation import (
    correlation_condition,
    correlation_eigenvalues,
    effective_rank,
    gain,
    off_diagonal_energy,
    whiteness,
)
from keras_decorr.metrics.decorrelation_state import DecorrelationState, decorrelation_state
from keras_decorr.metrics.sampled_inputs import SampledInputs, sampled_inputs

__all__ = [
    "AlignmentAngle",
    "DecorrelationState",
    "SampledInputs",
    "angle",
    "condition_number",
    "correlation_condition",
    "correlation_eigenvalues",
    "decorrelation_state",
    "effective_rank",
    "gain",
    "off_diagonal_energy",
    "sampled_inputs",
    "whiteness",
]
