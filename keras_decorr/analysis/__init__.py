"""What decorrelation does to learning, measured on a model."""

from keras_decorr.analysis.natural_gradient import (
    Angles,
    LayerAlignment,
    natural_gradient_alignment,
)

__all__ = ["Angles", "LayerAlignment", "natural_gradient_alignment"]
