"""Data sets of small images, ready for any backend. They need the extra `data`."""

from keras_decorr.datasets.images import Images
from keras_decorr.datasets.load import NAMES, load, packages, prepare

__all__ = ["NAMES", "Images", "load", "packages", "prepare"]
