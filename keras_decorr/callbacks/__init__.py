"""Keras callbacks that measure, schedule, guard and freeze decorrelation."""

from keras_decorr.callbacks.alignment_monitor import AlignmentMonitor
from keras_decorr.callbacks.decorrelation_guard import DecorrelationGuard, GuardEvent
from keras_decorr.callbacks.decorrelation_monitor import DecorrelationMonitor
from keras_decorr.callbacks.decorrelation_rate_scheduler import DecorrelationRateScheduler
from keras_decorr.callbacks.freeze_decorrelation import FreezeDecorrelation

__all__ = [
    "AlignmentMonitor",
    "DecorrelationGuard",
    "DecorrelationMonitor",
    "DecorrelationRateScheduler",
    "FreezeDecorrelation",
    "GuardEvent",
]
