"""Keras callbacks that look into the training."""

from keras_decorr.callbacks.alignment_monitor import AlignmentMonitor

__all__ = ["AlignmentMonitor"]
