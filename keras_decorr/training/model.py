"""Keras models whose training step updates M."""

from typing import Any

import keras

from keras_decorr.backend.keras_internals import Functional, is_functional_call, make_functional
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

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        # Keras would turn `Model` itself into a functional class, for every later subclass, too.
        if cls is Model and is_functional_call(args, kwargs):
            cls = FunctionalModel
        return super().__new__(cls, *args, **kwargs)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if is_functional_call(args, kwargs) and not isinstance(self, Functional):
            # Before Keras does it to every model with our step.
            make_functional(type(self), Model, FunctionalModel)
        super().__init__(*args, **kwargs)


@keras.saving.register_keras_serializable(package="keras_decorr")
class FunctionalModel(Model, Functional):
    """The class of `Model(inputs, outputs)`."""


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
