"""Computes the gradients of a learning rule without a training step."""

import keras
import numpy as np
from keras import ops

from keras_decorr import rules
from keras_decorr.backend.autodiff import variable_gradients
from keras_decorr.context import collection, wiring
from keras_decorr.layers.call import call_in_training
from keras_decorr.typing import Tensor, Tensors


def gradients(
    model: keras.Model,
    x: Tensors,
    y: Tensors,
    learning_rule: rules.LearningRule | str | None = None,
    sample_weight: Tensors = None,
) -> list[np.ndarray]:
    """Computes the gradients that a training step would pass to the optimizer; changes nothing.

    Args:
        model: A compiled and built `keras_decorr.Model` or `Sequential`.
        x: Inputs, a batch as arrays or tensors.
        y: Targets.
        learning_rule: A rule, or its name. Default: the model's own. Another rule must need no state
            (`"backprop"`), or be the model's own.
        sample_weight: Weight of each sample, or `None`.

    Returns:
        A list of arrays, one for each of `model.trainable_variables`; zeros for one that the rule
        leaves alone.

    Raises:
        ValueError: If the model is not compiled, or not built.

    Example:

    >>> import numpy as np, keras_decorr
    >>> model = keras_decorr.models.dense_net((8, 8, 1), 10, hidden=(16,))
    >>> model.compile("adam", "sparse_categorical_crossentropy", learning_rule="feedback_alignment")
    >>> x, y = np.ones((4, 8, 8, 1), "float32"), np.zeros(4, "int32")
    >>> [g.shape for g in keras_decorr.training.gradients(model, x, y)]
    [(64, 16), (16,), (16, 10), (10,)]
    """
    if not model.compiled or not model.built:
        raise ValueError(
            "`gradients` needs a model that is built and compiled. Call `fit`, or `compile` a model "
            f"that has a `keras.Input`. Received: {model.name!r}, compiled={model.compiled}, "
            f"built={model.built}"
        )
    rule = model.learning_rule if learning_rule is None else rules.get(learning_rule)
    x, y = (keras.tree.map_structure(ops.convert_to_tensor, value) for value in (x, y))

    def loss() -> Tensor:
        with collection.collect() as samples, wiring.opened(rule.wires(model)):
            y_pred = call_in_training(model, x)
            with samples.paused():
                return rule.compute_loss(
                    model,
                    lambda y_pred: keras.Model.compute_loss(model, x, y, y_pred, sample_weight),
                    x,
                    y,
                    y_pred,
                    sample_weight,
                )

    variables = model.trainable_variables
    kept = [(v, ops.convert_to_numpy(v).copy()) for v in model.non_trainable_variables]
    found = variable_gradients(loss, variables)
    for variable, value in kept:  # such as the step of the noise
        variable.assign(value)
    return [
        ops.convert_to_numpy(ops.zeros_like(v) if g is None else g)
        for v, g in zip(variables, found, strict=True)
    ]
