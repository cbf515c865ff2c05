"""Layers that decorrelate their inputs. Each has the arguments of its Keras twin."""

from keras_decorr.layers.decor_conv2d import DecorConv2D
from keras_decorr.layers.decor_dense import DecorDense
from keras_decorr.layers.decorrelation import Decorrelation

__all__ = ["DecorConv2D", "DecorDense", "Decorrelation"]
