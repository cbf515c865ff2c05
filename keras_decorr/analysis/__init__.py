"""Analyses of a model: natural-gradient angles, and what decorrelation costs."""

from keras_decorr.analysis.natural_gradient import (
    Angles,
    LayerAlignment,
    natural_gradient_alignment,
)
from keras_decorr.analysis.summary import costs, summary

__all__ = ["Angles", "LayerAlignment", "costs", "natural_gradient_alignment", "summary"]
