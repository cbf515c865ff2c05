"""Tapes for custom TensorFlow training loops, used as `tf.GradientTape` is."""

from keras_decorr.tapes.feedback_alignment_tape import FeedbackAlignmentTape
from keras_decorr.tapes.node_perturbation_tape import NodePerturbationTape

__all__ = ["FeedbackAlignmentTape", "NodePerturbationTape"]
