"""Keras models whose training step decorrelates."""

import keras
from keras.src.models.functional import Functional
from keras.src.models.model import functional_init_arguments

from keras_decorr.training.step import DecorrelationStep


@keras.saving.register_keras_serializable(package="keras_decorr")
class Model(DecorrelationStep):
    """A `keras.Model` that takes one decorrelation step per training step.

    Use it as `keras.Model`: `Model(inputs, outputs)`, or subclass it. `compile` has one argument
    more, `learning_rule`, and the logs of `fit` show `decorrelation_loss` and `skipped_updates`.

    Example:

    >>> import keras, keras_decorr
    >>> inputs = keras.Input((64,))
    >>> outputs = keras_decorr.layers.DecorDense(10, activation="softmax")(inputs)
    >>> model = keras_decorr.Model(inputs, outputs)
    >>> model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])

    Reference:
        N. Ahmad, "Correlations Are Ruining Your Gradient Descent", arXiv 2407.10780.
    """

    def __new__(cls, *args, **kwargs):
        # Keras would turn `Model` itself into a functional class, for every later subclass, too.
        if cls is Model and functional_init_arguments(args, kwargs):
            cls = FunctionalModel
        return super().__new__(cls, *args, **kwargs)

    def __init__(self, *args, **kwargs):
        if functional_init_arguments(args, kwargs) and not isinstance(self, Functional):
            _make_functional(type(self))  # before Keras does it to every model with our step
        super().__init__(*args, **kwargs)


@keras.saving.register_keras_serializable(package="keras_decorr")
class FunctionalModel(Model, Functional):
    """What `Model(inputs, outputs)` makes."""


def _make_functional(cls):
    """Let a subclass of `Model` that calls `super().__init__(inputs, outputs)` be functional."""
    if cls is Model:
        return FunctionalModel
    if issubclass(cls, Model):
        cls.__bases__ = tuple(map(_make_functional, cls.__bases__))
    return cls


@keras.saving.register_keras_serializable(package="keras_decorr")
class Sequential(DecorrelationStep, keras.Sequential):
    """A `keras.Sequential` that takes one decorrelation step per training step.

    See `keras_decorr.Model`.

    Example:

    >>> import keras, keras_decorr
    >>> model = keras_decorr.Sequential(
    ...     [keras.Input((64,)), keras_decorr.layers.DecorDense(10, activation="softmax")])
    >>> model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    """
