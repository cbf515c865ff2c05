"""Compiling a copy of a model as the original was."""

import warnings
from typing import Any

import keras

from keras_decorr import rules
from keras_decorr.backend.keras_internals import compile_arguments, spared_from_weight_decay
from keras_decorr.training.step import DecorrelationStep


def compile_like(new: Any, old: Any, twins: dict[int, Any]) -> None:
    """Compiles a model with the loss, metrics and settings of another, and a fresh optimizer like its.

    The variables are others, so what the optimizer has gathered for them does not carry over.

    Args:
        new: The model to compile.
        old: The model that it was copied from.
        twins: The variables of the new model, by the id of those of the old one.
    """
    if not old.compiled:
        return
    try:
        if _compiles_by_itself(old):
            new.compile_from_config(old.get_compile_config())
            return
        arguments = compile_arguments(old)
        if old.optimizer is not None:  # with the learning rate of now
            arguments["optimizer"] = fresh(old.optimizer)
            _spare_like(arguments["optimizer"], old.optimizer, old.trainable_variables, twins)
        for name in ("metrics", "weighted_metrics"):
            if name in arguments:
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


def _compiles_by_itself(model: Any) -> bool:
    """Returns whether the class of a model knows how to compile it from a configuration."""
    known = (keras.Model.compile_from_config, DecorrelationStep.compile_from_config)
    return type(model).compile_from_config not in known


def renew_optimizer(model: Any) -> None:
    """Gives a compiled model, whose weights have changed, a fresh optimizer like its own."""
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None:
        return
    variables = model.trainable_variables
    model.optimizer = fresh(optimizer)
    _spare_like(model.optimizer, optimizer, variables, {id(v): v for v in variables})


def fresh(part: Any) -> Any:
    """Returns a metric or optimizer like another, without its state; anything else as it is."""
    if isinstance(part, keras.metrics.Metric | keras.optimizers.Optimizer):
        return type(part).from_config(part.get_config())
    return part


def _spare_like(new: Any, old: Any, variables: list[Any], twins: dict[int, Any]) -> None:
    """Makes an optimizer spare from weight decay what another spares.

    Keras keeps that beside the configuration of the optimizer, by the identity of the variables.
    """
    if isinstance(old, keras.optimizers.LossScaleOptimizer):
        _spare_like(new.inner_optimizer, old.inner_optimizer, variables, twins)
        return
    spared, pattern = spared_from_weight_decay(old, variables)
    if pattern is None and not any(spared):
        return
    ours = [twins[id(v)] for v, spares in zip(variables, spared, strict=True) if spares]
    # The pattern is for variables that only the new model has, such as a bias that takes a mean.
    new.exclude_from_weight_decay(ours, [pattern] if pattern else None)
