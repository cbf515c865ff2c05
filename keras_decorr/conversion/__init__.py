"""From plain Keras models to decorrelating ones, and back."""

from keras_decorr.conversion import converted  # noqa: F401, it registers a class of older files
from keras_decorr.conversion.decorrelate import decorrelate
from keras_decorr.conversion.fold import fold
from keras_decorr.conversion.report import ConversionReport
from keras_decorr.layers.twin import register

__all__ = [
    "ConversionReport",
    "decorrelate",
    "fold",
    "register",
]
