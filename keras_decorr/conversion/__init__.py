"""From plain Keras models to decorrelating ones, and back."""

from keras_decorr.conversion.decorrelate import decorrelate
from keras_decorr.conversion.fold import fold
from keras_decorr.conversion.registry import register, register_fold
from keras_decorr.conversion.report import ConversionReport
from keras_decorr.conversion.time_distributed import DecorTimeDistributed

__all__ = [
    "ConversionReport",
    "DecorTimeDistributed",
    "decorrelate",
    "fold",
    "register",
    "register_fold",
]
