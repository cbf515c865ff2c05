"""Keras layers that decorrelate their inputs, so that networks train in fewer epochs.

After N. Ahmad, "Correlations Are Ruining Your Gradient Descent", arXiv 2407.10780.
"""

# ruff: noqa: E402
import keras

from keras_decorr.backend.versions import check_version

check_version("keras", keras.__version__)  # before anything that another Keras lacks is imported

from keras_decorr import (
    analysis,
    callbacks,
    conversion,
    datasets,
    decorrelators,
    layers,
    metrics,
    models,
    plots,
    rules,
    tapes,
    tuning,
)
from keras_decorr.analysis import summary
from keras_decorr.conversion import decorrelate, fold
from keras_decorr.training import Model, Sequential, adapt

__version__ = "0.1.0"
__all__ = [
    "Model",
    "Sequential",
    "adapt",
    "analysis",
    "callbacks",
    "conversion",
    "datasets",
    "decorrelate",
    "decorrelators",
    "fold",
    "layers",
    "metrics",
    "models",
    "plots",
    "rules",
    "summary",
    "tapes",
    "tuning",
]
