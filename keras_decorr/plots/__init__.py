"""Plots of decorrelation: arrays in, a Matplotlib figure out. They need the extra `plots`."""

from keras_decorr.plots.alignment_angles import alignment_angles
from keras_decorr.plots.learning_curves import learning_curves
from keras_decorr.plots.matrices import correlation_matrices, decorrelation_matrices
from keras_decorr.plots.panels import panels
from keras_decorr.plots.rate_heat_map import rate_heat_map
from keras_decorr.plots.rate_sensitivity import rate_sensitivity
from keras_decorr.plots.spectra import correlation_spectra

__all__ = [
    "alignment_angles",
    "correlation_matrices",
    "correlation_spectra",
    "decorrelation_matrices",
    "learning_curves",
    "panels",
    "rate_heat_map",
    "rate_sensitivity",
]
