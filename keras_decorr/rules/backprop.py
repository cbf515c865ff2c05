"""Backpropagation: the gradient of the loss."""

import keras

from keras_decorr.rules.learning_rule import LearningRule


@keras.saving.register_keras_serializable(package="keras_decorr")
class Backprop(LearningRule):
    """The gradient of the loss itself. It decorrelates as every rule does, through its layers."""

    def compute_loss(self, model, loss_of, x, y, y_pred, sample_weight):
        return loss_of(y_pred)
