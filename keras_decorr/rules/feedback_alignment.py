"""Feedback alignment: sends the error back through fixed random weights.

T. P. Lillicrap, D. Cownden, D. B. Tweed, C. J. Akerman, "Random synaptic feedback weights support error
backpropagation for deep learning", Nature Communications 7, 13276 (2016).
"""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_decorr.context.wiring import Wiring
from keras_decorr.maths.feedback import feedback_map
from keras_decorr.rules import graph
from keras_decorr.rules.feedback import FeedbackWeights
from keras_decorr.rules.learning_rule import LearningRule
from keras_decorr.rules.state import RuleState
from keras_decorr.typing import Tensor, Tensors

KINDS = ("fixed", "sign_concordant", "kolen_pollack")


@keras.saving.register_keras_serializable(package="keras_decorr")
class FeedbackAlignment(LearningRule):
    """Backpropagates errors with feedback weights `B` in place of the transposed weights `W`.

    For `a = u W + b` with the gradient `d = dL/da`: `dW = u^T d` and `db = sum d` as ever, but
    `du = d B^T`. Everything else of the chain (activations, M, pooling, normalisation) keeps its own
    gradient. Learning aligns `W` with `B`, so that the updates come to point downhill.

    Args:
        feedback: Where `B` comes from. `"fixed"` (default): drawn once. `"sign_concordant"`: drawn
            sizes with the signs of `W` (Q. Liao, J. Z. Leibo, T. Poggio, "How Important Is Weight
            Symmetry in Backpropagation?", arXiv 1510.05067). `"kolen_pollack"`: `B` gets the updates
            of `W`, and weight decay makes the two meet (M. Akrout et al., "Deep Learning without
            Weight Transport", arXiv 1904.05391): use an optimizer with `weight_decay`.
        feedback_initializer: Keras initializer of `B`, of the shape of `W`. Defaults to
            `"he_uniform"`, the Kaiming uniform of N. Ahmad, arXiv 2407.10780.
        feedback_scale: Positive factor on it. Defaults to 1.
        seed: Seed of `B`. Defaults to one drawn from Keras's global seed.

    Raises:
        ValueError: If an argument is out of its range; at `compile`, if a layer cannot be served.

    Example:

    >>> import keras, keras_decorr
    >>> model = keras_decorr.Sequential([
    ...     keras.Input((64,)),
    ...     keras_decorr.layers.DecorDense(32, activation="relu"),
    ...     keras_decorr.layers.DecorDense(10, activation="softmax")])
    >>> model.compile("adam", "sparse_categorical_crossentropy", learning_rule="feedback_alignment")
    """

    def __init__(
        self,
        feedback: str = "fixed",
        feedback_initializer: Any = "he_uniform",
        feedback_scale: float = 1.0,
        seed: int | None = None,
    ) -> None:
        if feedback not in KINDS:
            raise ValueError(
                f"Argument `feedback` of FeedbackAlignment must be one of {list(KINDS)}. "
                f"Received: {feedback!r}"
            )
        self.feedback = feedback
        self.weights = FeedbackWeights(
            "FeedbackAlignment", feedback_initializer, feedback_scale, seed
        )

    def check(self, model: keras.Model) -> None:
        graph.check_layers(model, "feedback_alignment")

    def build(self, model: keras.Model) -> RuleState:
        self.check(model)
        state, first = RuleState(), graph.first_maps(model)
        for layer, initializer in zip(
            graph.linear_maps(model), self.weights.initializers(), strict=False
        ):
            if id(layer) not in first:
                learns = self.feedback == "kolen_pollack"
                state.add(layer, "feedback", layer.kernel.shape, initializer, trainable=learns)
        return state

    def wires(self, model: keras.Model) -> Wiring:
        return FeedbackWiring(self.feedback, model.learning_rule_state)

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

    def get_config(self) -> dict[str, Any]:
        return {"feedback": self.feedback, **self.weights.get_config()}


class FeedbackWiring(Wiring):
    """Sends errors back through the feedback weights of a `RuleState`."""

    def __init__(self, kind: str, state: RuleState) -> None:
        self.kind, self.state = kind, state

    def linear(
        self,
        layer: Any,
        op: Callable[[Tensor, Tensor], Tensor],
        x: Tensors,
        kernel: Tensor,
        fold: Callable[[Tensor], Tensor],
    ) -> Tensor:
        variable = self.state.of(layer)
        if variable is None:
            return op(x, kernel)
        B = ops.cast(variable, kernel.dtype)
        if self.kind == "sign_concordant":
            B = ops.abs(B) * ops.sign(ops.stop_gradient(ops.convert_to_tensor(layer.kernel)))
        return feedback_map(op, x, kernel, fold(B))
