"""Compiling a converted model as the original was."""

import warnings
from collections.abc import Sequence
from typing import Any

import keras

from keras_decorr import rules
from keras_decorr.backend.keras_internals import compile_arguments
from keras_decorr.conversion.weight_decay import spare_like
from keras_decorr.training.step import DecorrelationStep


def compile_like(new: Any, old: Any, pairs: Sequence[tuple[Any, Any]]) -> None:
    """Compile a model with the loss, metrics and settings of another, and a fresh optimizer like its.

    The variables are others, so what the optimizer has gathered for them does not carry over.

    Args:
        new: The model to compile.
        old: The model that it was converted from.
        pairs: The old and the new one of every layer, what is inside before what it is in.
    """
    if not old.compiled:
        return
    try:
        arguments = compile_arguments(old)
        if old.optimizer is not None:  # with the learning rate of now
            arguments["optimizer"] = fresh(old.optimizer)
            spare_like(arguments["optimizer"], old.optimizer, pairs)
        for name in ("metrics", "weighted_metrics"):
            arguments[name] = keras.tree.map_structure(fresh, arguments[name])
        if isinstance(old, DecorrelationStep) and isinstance(new, DecorrelationStep):
            rule = keras.saving.serialize_keras_object(old.learning_rule)
            arguments["learning_rule"] = rules.get(rule)
        new.compile(**arguments)
    except Exception as error:
        warnings.warn(
            f"The model was converted, but could not be compiled as the original was: {error} Call "
            "`compile` on it.",
            stacklevel=3,
        )


def fresh(part: Any) -> Any:
    """A metric or optimizer like another, without its state; anything else as it is."""
    if isinstance(part, keras.metrics.Metric | keras.optimizers.Optimizer):
        return type(part).from_config(part.get_config())
    return part
