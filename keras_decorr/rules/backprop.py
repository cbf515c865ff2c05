"""Backpropagation: the gradient of the loss."""

import keras

from keras_decorr.rules.learning_rule import LearningRule


@keras.saving.register_keras_serializable(package="keras_decorr")
class Backprop(LearningRule):
    """The gradient of the loss itself. It decorrelates as every rule does, through its layers.

    Example:

    >>> import keras_decorr
    >>> model = keras_decorr.models.dense_net((8, 8, 1), 10, hidden=(16,))
    >>> model.compile("adam", "sparse_categorical_crossentropy", learning_rule="backprop")
    """

    def compute_loss(self, model, loss_of, x, y, y_pred, sample_weight):
        return loss_of(y_pred)
