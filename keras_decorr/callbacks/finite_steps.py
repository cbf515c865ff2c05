"""A model's optimizer that skips the steps whose gradient is not finite.

Keras has one: its `LossScaleOptimizer`, made for float16, takes a step only if the whole gradient is
finite, on every backend and under `tf.distribute`. With a scale of 1 that is all it does.
"""

from contextlib import nullcontext
from typing import Any

import keras

from keras_decorr.backend.keras_internals import optimizer_variables, steps_of_optimizer

# The scale never grows.
_NEVER = 2**31 - 2


class SavedAsInner(keras.optimizers.LossScaleOptimizer):
    """Is saved and loaded as if it were the optimizer that it holds.

    The compile configuration that Keras saves with a model names that optimizer, too.
    """

    def save_own_variables(self, store):
        self.inner_optimizer.save_own_variables(store)

    def load_own_variables(self, store):
        self.inner_optimizer.load_own_variables(store)

    def __dir__(self):
        # Keras saves what it finds here: it would look for the inner optimizer a second time.
        return [name for name in super().__dir__() if name != "inner_optimizer"]


class FiniteSteps:
    """Puts a `LossScaleOptimizer` around the optimizer of a model for a while.

    A model whose optimizer is one already, as with the dtype policy "mixed_float16", is left as it is.
    """

    def __init__(self):
        self._optimizer: Any = None
        self._wrapper: Any = None
        self._function = self._left = self._scale = None

    def install(self, model):
        """From now on `model` skips such steps."""
        optimizer = model.optimizer
        if optimizer is self._wrapper is not None:  # of a fit that was broken off
            return
        if optimizer is None or isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            self._optimizer = self._wrapper = self._function = None
            return
        if model.train_function is not self._left:  # the model was compiled anew
            self._function = None
        if optimizer is not self._optimizer:
            self._optimizer, self._function = optimizer, None
            self._scale = optimizer.loss_scale_factor
            with _scope(model):
                self._wrapper = SavedAsInner(
                    optimizer, initial_scale=self._scale or 1.0, dynamic_growth_steps=_NEVER
                )
                if optimizer.built:
                    self._wrapper.build(optimizer_variables(optimizer))
        optimizer.loss_scale_factor = None
        self._put(model, self._wrapper)

    def remove(self, model):
        """The model has its own optimizer again."""
        if self._wrapper is not None and model.optimizer is self._wrapper:
            self._optimizer.loss_scale_factor = self._scale
            self._put(model, self._optimizer)
            self._left = model.train_function

    def _put(self, model, optimizer):
        model.optimizer = optimizer
        # Each has the function that was compiled with it, for the next time.
        model.train_function, self._function = self._function, model.train_function
        model.make_train_function()

    @property
    def installed(self):
        """Whether the model's own optimizer has been wrapped."""
        return self._wrapper is not None

    def reset(self):
        """Undo what skipped steps have done to the scale."""
        if self._wrapper is not None and self._wrapper.built:
            self._wrapper.dynamic_scale.assign(self._wrapper.initial_scale)


def steps_taken(optimizer):
    """How many steps an optimizer has not left out, those that only accumulate a gradient included."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    return steps_of_optimizer(inner)


def _scope(model):
    strategy = getattr(model, "distribute_strategy", None)  # TensorFlow's
    return nullcontext() if strategy is None else strategy.scope()
