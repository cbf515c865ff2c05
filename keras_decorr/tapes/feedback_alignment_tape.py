"""Provides feedback alignment for custom TensorFlow training loops.

T. P. Lillicrap et al., "Random synaptic feedback weights support error backpropagation for deep
learning", Nature Communications 7, 13276 (2016).
"""

from typing import Any

from keras_decorr.context.wiring import Wiring
from keras_decorr.rules.feedback_alignment import FeedbackAlignment, FeedbackWiring
from keras_decorr.tapes.state import state_for
from keras_decorr.tapes.tape import Tape
from keras_decorr.typing import Tensors


class FeedbackAlignmentTape(Tape):
    """Records operations and computes the gradients of feedback alignment.

    In the block the linear maps of `DecorDense`, `DecorConv2D` and the like send errors back through
    fixed random weights instead of their own; all else is differentiated as ever. At the end of the
    block each M takes one decorrelation step, however often its layer was called.

    The feedback weights are those of the model's own learning rule where it is a `keras_decorr.Model`
    compiled with feedback alignment. Else the first tape draws them, and the model keeps and saves
    them. A plain Keras model that is loaded from a file gets them back by
    `FeedbackAlignmentTape(model); model.load_weights(path)`. Under a `tf.distribute` strategy make
    the first tape in its `scope()`, outside of `run`.

    Args:
        model: A built Keras model.
        rule: A `keras_decorr.rules.FeedbackAlignment`. Defaults to the model's own, or a new one. Every
            tape of a model must have the same options. Where the feedback learns
            (`"kolen_pollack"`), a model that is not a `keras_decorr.Model` does not list it: optimize
            `tape.state.trainable_variables`, too.
        persistent: As in `tf.GradientTape`. Defaults to False.
        watch_accessed_variables: As in `tf.GradientTape`. Defaults to True.

    Raises:
        NotImplementedError: If the backend is not TensorFlow.
        ValueError: If the model is not built, or the rule cannot serve it.

    Example:

    >>> import keras, keras_decorr, tensorflow as tf
    >>> model = keras.Sequential([
    ...     keras.Input((64,)),
    ...     keras_decorr.layers.DecorDense(32, activation="relu"),
    ...     keras_decorr.layers.DecorDense(10)])
    >>> loss_fn = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    >>> optimizer = keras.optimizers.Adam(1e-3)
    >>> x, y = tf.random.normal((8, 64)), tf.zeros(8, "int32")
    >>> with keras_decorr.tapes.FeedbackAlignmentTape(model) as tape:
    ...     loss = loss_fn(y, model(x, training=True))
    >>> gradients = tape.gradient(loss, model.trainable_variables)
    >>> optimizer.apply(gradients, model.trainable_variables)
    """

    kind = FeedbackAlignment

    def _state(self) -> Any:
        rule = self.rule
        return state_for(self.model, rule, lambda: rule.build(self.model), rule.get_config())

    def _wiring(self) -> Wiring:
        return FeedbackWiring(self.rule.feedback, self.state)

    def gradient(
        self,
        target: Tensors,
        sources: Tensors,
        output_gradients: Tensors = None,
        unconnected_gradients: str = "none",
    ) -> Tensors:
        """Computes the updates of feedback alignment, as `tf.GradientTape.gradient` does gradients.

        Args:
            target: The loss, or a structure of tensors.
            sources: Variables or tensors, or a structure of them.
            output_gradients: Gradients of the targets, or `None` for ones.
            unconnected_gradients: `"none"` or `"zero"`: what stands for a source that no target
                depends on.

        Returns:
            A structure like `sources`.
        """
        return self._gradient(target, sources, output_gradients, unconnected_gradients)
