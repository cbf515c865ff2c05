"""Data sets of small images and texts, ready for any backend. They need the extra `data`."""

from keras_decorr.datasets.images import Images
from keras_decorr.datasets.load import IMAGES, NAMES, TEXTS, load, packages, prepare
from keras_decorr.datasets.text import Text

__all__ = ["IMAGES", "NAMES", "TEXTS", "Images", "Text", "load", "packages", "prepare"]
