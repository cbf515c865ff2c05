"""The learning rate of an optimizer, inside a compiled training step and between two."""

from typing import Any

import keras

from keras_decorr.backend.keras_internals import schedule_of_optimizer, steps_of_optimizer
from keras_decorr.typing import Tensor


def learning_rate_in_step(optimizer: Any, arguments: tuple) -> Tensor | None:
    """Returns the learning rate of the step that is about to be taken.

    On JAX a step is a function of the state of the model, and what the optimizer's variables hold is
    of no use: their values come as an argument.

    Args:
        optimizer: The optimizer of the model.
        arguments: The arguments of its `train_step`.

    Returns:
        A scalar, or `None` for an optimizer without a learning rate.
    """
    if keras.backend.backend() != "jax":
        return getattr(optimizer, "learning_rate", None)
    (_, _, of_optimizer, _), _ = arguments
    mapping = list(zip(optimizer.variables, of_optimizer, strict=True))
    with keras.StatelessScope(state_mapping=mapping):
        rate = getattr(optimizer, "learning_rate", None)
        return None if rate is None else keras.ops.convert_to_tensor(rate)


def learning_rate_at(optimizer: Any, step: float) -> float:
    """Returns the learning rate of an optimizer at a step; without a schedule, its present one.

    Args:
        optimizer: A Keras optimizer.
        step: Number of steps taken before.
    """
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    rate = schedule_of_optimizer(inner)
    rate = inner.learning_rate if rate is None else rate(int(step))
    return float(keras.ops.convert_to_numpy(rate))


def steps_taken(optimizer: Any) -> int:
    """Returns the number of steps, those that only accumulate a gradient included."""
    return steps_of_optimizer(getattr(optimizer, "inner_optimizer", optimizer))
