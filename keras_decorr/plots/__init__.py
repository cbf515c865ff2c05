"""Plots of what decorrelation does. They need the extra `plots`."""

from keras_decorr.plots.learning_curves import learning_curves
from keras_decorr.plots.panels import panels

__all__ = ["learning_curves", "panels"]
