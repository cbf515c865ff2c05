"""Base class of learning rules: each defines the scalar whose gradient trains the model."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Self

import keras

from keras_decorr.context.wiring import Wiring
from keras_decorr.rules.state import RuleState
from keras_decorr.typing import Tensor, Tensors


class LearningRule(ABC):
    """Base class of the rules by which a `keras_decorr.Model` learns.

    The training step differentiates one scalar. A rule says which: the loss itself for
    backpropagation, or another scalar whose gradient is the rule's update. Its wiring is in force
    during the step, and changes what the linear maps of the model do in the forward or the backward
    pass. The rule may run further forward passes; they see the same M, as M is updated once, after the
    rule, from the samples of the first (clean) pass.

    A rule holds its arguments only; what it keeps for a model (feedback matrices, the state of its
    noise) it makes in `build`, and the model saves it.

    Example:

    A rule that learns from half of the loss:

    >>> import keras_decorr
    >>> class Half(keras_decorr.rules.LearningRule):
    ...     def compute_loss(self, model, loss_of, x, y, y_pred, sample_weight):
    ...         return 0.5 * loss_of(y_pred)
    >>> model = keras_decorr.models.dense_net((8, 8, 1), 10, hidden=(16,))
    >>> model.compile("sgd", "sparse_categorical_crossentropy", learning_rule=Half())
    """

    def check(self, model: keras.Model) -> None:  # noqa: B027 - most rules serve some models only, but not all
        """Raises an error for a compiled model that the rule cannot train.

        Raises:
            ValueError: Names the layer and what to do.
        """

    def build(self, model: keras.Model) -> RuleState | None:
        """Creates the variables of the rule for a built model: a `RuleState`, or `None`."""
        return None

    def wires(self, model: keras.Model) -> Wiring:
        """Returns the `Wiring` for the clean forward pass and the backward pass of one step."""
        return Wiring()

    @abstractmethod
    def compute_loss(
        self,
        model: keras.Model,
        loss_of: Callable[[Tensors], Tensor],
        x: Tensors,
        y: Tensors,
        y_pred: Tensors,
        sample_weight: Tensors,
    ) -> Tensor:
        """Computes the scalar to differentiate. Its value is the loss in the logs.

        Args:
            model: The model in training.
            loss_of: Function from outputs like `y_pred` to the compiled loss, with the losses of the
                model's layers.
            x: Inputs.
            y: Targets.
            y_pred: Outputs of the clean forward pass.
            sample_weight: Weight of each sample, or `None`.
        """

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments as plain Python objects."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Makes a rule from `get_config`'s dictionary."""
        return cls(**config)
