"""Backpropagation: updates along the gradient of the loss."""

from collections.abc import Callable

import keras

from keras_decorr.rules.learning_rule import LearningRule
from keras_decorr.typing import Tensor, Tensors


@keras.saving.register_keras_serializable(package="keras_decorr")
class Backprop(LearningRule):
    """Uses the gradient of the loss itself. Layers decorrelate as with every rule.

    Example:

    >>> import keras_decorr
    >>> model = keras_decorr.models.dense_net((8, 8, 1), 10, hidden=(16,))
    >>> model.compile("adam", "sparse_categorical_crossentropy", learning_rule="backprop")
    """

    def compute_loss(
        self,
        model: keras.Model,
        loss_of: Callable[[Tensors], Tensor],
        x: Tensors,
        y: Tensors,
        y_pred: Tensors,
        sample_weight: Tensors,
    ) -> Tensor:
        return loss_of(y_pred)
