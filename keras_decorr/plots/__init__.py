"""Plots of what decorrelation does. They need the extra `plots`."""

from keras_decorr.plots.learning_curves import learning_curves
from keras_decorr.plots.rate_heat_map import rate_heat_map

__all__ = ["learning_curves", "rate_heat_map"]
