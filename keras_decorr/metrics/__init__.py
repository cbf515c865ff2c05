"""Numbers that show how a network learns."""

from keras_decorr.metrics.alignment_angle import AlignmentAngle, angle

__all__ = ["AlignmentAngle", "angle"]
