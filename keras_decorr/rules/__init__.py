"""Learning rules: how the updates of the weights are computed from the loss."""

from typing import Any

import keras

from keras_decorr.rules.backprop import Backprop
from keras_decorr.rules.direct_feedback_alignment import DirectFeedbackAlignment
from keras_decorr.rules.feedback_alignment import FeedbackAlignment
from keras_decorr.rules.learning_rule import LearningRule
from keras_decorr.rules.node_perturbation import NodePerturbation

RULES: dict[str, type[LearningRule]] = {
    "backprop": Backprop,
    "feedback_alignment": FeedbackAlignment,
    "direct_feedback_alignment": DirectFeedbackAlignment,
    "node_perturbation": NodePerturbation,
}


def get(identifier: LearningRule | str | dict[str, Any]) -> LearningRule:
    """Returns a learning rule for a name, a configuration or a rule.

    Raises:
        ValueError: If the identifier is none of these.

    Example:

    >>> import keras_decorr
    >>> type(keras_decorr.rules.get("feedback_alignment")).__name__
    'FeedbackAlignment'
    """
    if isinstance(identifier, str) and identifier in RULES:
        return RULES[identifier]()
    if isinstance(identifier, dict):
        identifier = keras.saving.deserialize_keras_object(identifier)
    if isinstance(identifier, LearningRule):
        return identifier
    raise ValueError(
        f"Argument `learning_rule` must be one of {sorted(RULES)} or an instance of "
        f"keras_decorr.rules.LearningRule. Received: {identifier!r}"
    )


__all__ = [
    "RULES",
    "Backprop",
    "DirectFeedbackAlignment",
    "FeedbackAlignment",
    "LearningRule",
    "NodePerturbation",
    "get",
]
