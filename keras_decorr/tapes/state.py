"""Holds the variables of a tape: created once, saved with the model, shared by its tapes."""

from collections.abc import Callable, Collection
from typing import Any

import keras

from keras_decorr.rules.learning_rule import LearningRule
from keras_decorr.training.step import DecorrelationStep


def own_rule(model: keras.Model, kind: type[LearningRule]) -> Any:
    """Returns the learning rule of a `keras_decorr` model if it is of this kind, or `None`."""
    rule = model.learning_rule if isinstance(model, DecorrelationStep) else None
    return rule if isinstance(rule, kind) else None


def state_for(
    model: keras.Model,
    rule: LearningRule,
    make: Callable[[], Any],
    options: Collection[str],
) -> Any:
    """Returns the `RuleState` of a model for a rule.

    That of the model itself where it is compiled with such a rule. Else one that the first tape makes
    and the model holds as an attribute past Keras's tracking, as `DecorrelationStep` holds its own: it
    is none of the model's layers, and Keras saves it all the same.

    Args:
        model: A built Keras model.
        rule: The rule.
        make: Function that makes the state.
        options: Names of the rule's options on which the state depends.

    Raises:
        ValueError: If the model is not built, or holds a state made with other options.
    """
    import tensorflow as tf

    if not model.built:
        raise ValueError(
            "A tape needs a model that is built: its rule makes a variable for each linear map. Call "
            f"the model once before, or `model.build(input_shape)`. Received: {model.name!r}"
        )

    def chosen(rule: LearningRule) -> dict[str, Any]:
        return {name: value for name, value in rule.get_config().items() if name in options}

    own = own_rule(model, type(rule))
    if own is not None and chosen(own) == chosen(rule):
        with tf.init_scope():
            model.build_rule()
        return model.learning_rule_state
    name = f"{type(rule).__name__}_tape_state"
    state = getattr(model, name, None)
    if state is None:
        with tf.init_scope():  # inside a tf.function, too, variables are made once
            state = make()
        state.made_by = repr(chosen(rule))
        object.__setattr__(model, name, state)
    if state.made_by != repr(chosen(rule)):
        raise ValueError(
            f"The model {model.name!r} has learned with a {type(rule).__name__} of other options, and "
            "keeps what that drew. Give every tape of a model the same `rule`. "
            f"Received: {chosen(rule)}, before: {state.made_by}"
        )
    return state
