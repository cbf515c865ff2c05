"""What a learning rule decides: the loss whose gradient trains the model."""

from abc import ABC, abstractmethod


class LearningRule(ABC):
    """Base class of the rules by which a `keras_decorr.Model` learns.

    The training step differentiates one scalar. A rule says which: the loss itself for
    backpropagation, or another scalar whose gradient is the rule's update. The rule may run further
    forward passes of the model; they see the same M, as M moves once, after the rule, from the
    samples of the first (clean) pass.
    """

    @abstractmethod
    def compute_loss(self, model, loss, x, y, y_pred, sample_weight):
        """The scalar to differentiate.

        Args:
            model: The model in training.
            loss: Its loss on the clean forward pass, with the losses of its layers.
            x: Inputs.
            y: Targets.
            y_pred: Outputs of the clean forward pass.
            sample_weight: Weight of each sample, or `None`.
        """

    def get_config(self):
        """The arguments, as plain Python objects."""
        return {}

    @classmethod
    def from_config(cls, config):
        """A rule from `get_config`'s dictionary."""
        return cls(**config)
