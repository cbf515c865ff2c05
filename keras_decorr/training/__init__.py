"""The training step, and the models that use it."""

from keras_decorr.training.adapt import adapt
from keras_decorr.training.gradients import gradients
from keras_decorr.training.model import Model, Sequential
from keras_decorr.training.step import decorrelation_layers

__all__ = ["Model", "Sequential", "adapt", "decorrelation_layers", "gradients"]
