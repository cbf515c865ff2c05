"""Plots of what decorrelation does. They need the extra `plots`."""

from keras_decorr.plots.learning_curves import learning_curves

__all__ = ["learning_curves"]
