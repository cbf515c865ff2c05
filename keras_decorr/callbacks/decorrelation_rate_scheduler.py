"""Schedules the decorrelation rate of all layers of a model, by epoch or by step."""

import inspect
import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops
from keras.optimizers.schedules import LearningRateSchedule

from keras_decorr.backend.keras_internals import model_of, state_without_model
from keras_decorr.backend.optimizers import learning_rate_at, steps_taken
from keras_decorr.callbacks.messages import print_message
from keras_decorr.decorrelators.arguments import check_count, check_number
from keras_decorr.layers import Decorrelation
from keras_decorr.training.step import decorrelation_layers, name_within


class DecorrelationRateScheduler(keras.callbacks.Callback):
    """Sets the decorrelation rate of every layer while a model trains, and warms it up.

    A new model can have a schedule in its decorrelators, `NormPreserving(learning_rate=schedule)`,
    which is part of the model and needs no callback. This one is for what a schedule does not do: a
    function of the epoch, a model that is there already, a linear warm-up of layers with rates of
    their own.

    What another callback does to the rate in between, as `DecorrelationGuard` lowers it, stays: if it
    is now a tenth of what was set, so is all that follows in this `fit`. The next one goes by the
    schedule again; without one, the rates stay, or are what was set by hand. Weights that were restored
    between two `fit` change nothing. The logs of an epoch show the rate as `decorrelation_rate`: in a
    `keras_decorr.Model` that of its last step, in another that of the first layer.

    Args:
        schedule: A function `schedule(epoch)` or `schedule(epoch, rate)` that returns the rate for the
            epoch, counted from 0, given the present one; or a
            `keras.optimizers.schedules.LearningRateSchedule` of the step; or `"optimizer"`: the rate of
            each layer times the learning rate of the optimizer over its highest so far, which a
            `keras_decorr.Model` does by itself and a plain `keras.Model` does not; or `None`, with
            which each layer keeps its rate after the warm-up.
        warmup_steps: For so many training steps the rate rises linearly from 0 to what it would be.
            Those that the optimizer has taken before count, so a second `fit` goes on with the same
            callback, or after the weights were loaded into a model built anew. For a new callback with
            the same model, or after `keras.saving.load_model`, there are only the risen rates: set the
            full ones first, if there is no `schedule`. Defaults to 0.
        verbose: 1 to print the rate of each epoch. Defaults to 0.

    Raises:
        ValueError: If an argument is out of its range, or would do nothing; in `fit`, if a layer
            follows a schedule of its own, or if `schedule` gives something else than a non-negative
            number.

    Example:

    >>> import keras, numpy as np, keras_decorr
    >>> layer = keras_decorr.layers.DecorDense(10, activation="softmax")
    >>> model = keras_decorr.Sequential([keras.Input((64,)), layer])
    >>> model.compile("adam", "sparse_categorical_crossentropy")
    >>> x, y = np.random.rand(128, 64).astype("float32"), np.random.randint(0, 10, 128)
    >>> halved = keras_decorr.callbacks.DecorrelationRateScheduler(lambda epoch: 1e-3 * 0.5**epoch)
    >>> history = model.fit(x, y, epochs=2, verbose=0, callbacks=[halved])
    >>> [round(rate, 6) for rate in history.history["decorrelation_rate"]]
    [0.001, 0.0005]
    """

    def __init__(
        self, schedule: Callable[..., float] | None = None, warmup_steps: int = 0, verbose: int = 0
    ) -> None:
        super().__init__()
        name = type(self).__name__
        self.warmup_steps = check_count(name, "warmup_steps", warmup_steps, low=0)
        if schedule not in (None, "optimizer") and not callable(schedule):
            raise ValueError(
                f"Argument `schedule` of {name} must be a function of the epoch, a "
                "keras.optimizers.schedules.LearningRateSchedule, 'optimizer' or None. "
                f"Received: {schedule!r}"
            )
        if schedule is None and self.warmup_steps == 0:
            raise ValueError(
                f"{name} has nothing to do: give it a `schedule`, or `warmup_steps`. "
                f"Received: schedule=None, warmup_steps={warmup_steps!r}"
            )
        self.schedule: Any = schedule
        self.verbose = verbose
        self._of_layers: dict[Decorrelation, _Rate] = {}
        self._highest = 0.0

    def set_model(self, model: keras.Model) -> None:
        if model is not model_of(self):
            self._of_layers = {}
            self._highest = 0.0
        super().set_model(model)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        before = steps_taken(self.model.optimizer)
        if self._by_optimizer and before:
            # A schedule tells what it was before, for a callback that is new to the model.
            self._follow(before * np.linspace(0.0, 1.0, 1000, endpoint=False))
        for layer in self._layers():
            if layer in self._of_layers:
                self._of_layers[layer].begin(layer.decorrelator.initial_rate, self.schedule is None)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._before = steps_taken(self.model.optimizer)
        for layer in self._layers():
            kept = self._of_layer(layer)
            if self._by_epoch:
                kept.target = self._of_epoch(epoch, kept.target)
        self._set(self._before)
        if self.verbose:
            rates = sorted({f"{_present(layer):.3g}" for layer in self._layers()})
            print_message(
                f"\nEpoch {epoch + 1}: DecorrelationRateScheduler, rate {', '.join(rates)}."
            )

    # At the beginning of a step, where JAX takes what was assigned. It reads no state in vain.
    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        step = self._before + batch
        if batch and (
            self._by_step
            or self._by_optimizer
            or step - model_of(self).steps_per_execution < self.warmup_steps
        ):
            self._set(step)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        layers = self._layers()
        if logs is not None and layers and "decorrelation_rate" not in logs:
            logs["decorrelation_rate"] = _present(layers[0])

    @property
    def _by_step(self) -> bool:
        return isinstance(self.schedule, LearningRateSchedule)

    @property
    def _by_epoch(self) -> bool:
        return self.schedule is not None and not self._by_step and not self._by_optimizer

    @property
    def _by_optimizer(self) -> bool:
        return isinstance(self.schedule, str)

    def _follow(self, steps: Any) -> float:
        """Returns the learning rate at the last of these steps over the highest one so far."""
        optimizer = model_of(self).optimizer
        rates = [learning_rate_at(optimizer, step) for step in np.atleast_1d(steps)]
        self._highest = max(self._highest, *rates)
        return rates[-1] / self._highest if self._highest else 1.0

    def _layers(self) -> list[Decorrelation]:
        layers: list[Decorrelation] = decorrelation_layers(self.model)
        for layer in layers:
            if layer.decorrelator.has_schedule:
                raise ValueError(
                    f"The layer {name_within(layer, self.model)!r} follows a LearningRateSchedule of "
                    "its own. Build it with a float rate to use DecorrelationRateScheduler."
                )
            # Only a keras_decorr.Model has a factor.
            model_follows = hasattr(model_of(self), "decorrelation_rate_factor")
            if self._by_optimizer and model_follows and layer.decorrelator.follows:
                raise ValueError(
                    f"In a keras_decorr.Model such as {self.model.name!r} the rate of M follows that "
                    "of the optimizer without DecorrelationRateScheduler('optimizer'). Remove it."
                )
        if not layers and self.model.built:
            raise ValueError(
                "DecorrelationRateScheduler finds no decorrelating layer. Use the layers of "
                "keras_decorr.layers, or `keras_decorr.decorrelate(model)`. "
                f"Received: {self.model.name!r}"
            )
        return layers

    def _of_layer(self, layer: Decorrelation) -> "_Rate":
        # By the layer itself: two parts of a model may have layers of one path.
        if layer not in self._of_layers:
            # Weights loaded in the midst of a warm-up hold a rate that is still on its way.
            warming = 0 < self._before < self.warmup_steps
            target = layer.decorrelator.initial_rate if warming else _present(layer)
            self._of_layers[layer] = _Rate(target)
        return self._of_layers[layer]

    def _of_epoch(self, epoch: int, rate: float) -> float:
        parameters = inspect.signature(self.schedule).parameters.values()
        needed = [p for p in parameters if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
        takes_rate = len(needed) > 1 or any(p.kind is p.VAR_POSITIONAL for p in needed)
        return self._checked(self.schedule(epoch, rate) if takes_rate else self.schedule(epoch))

    def _checked(self, rate: Any) -> float:
        rate = float(ops.convert_to_numpy(rate)) if ops.is_tensor(rate) else rate
        return float(check_number("DecorrelationRateScheduler", "schedule", rate, 0.0))

    def _set(self, step: int) -> None:
        warm = min(step / self.warmup_steps, 1.0) if self.warmup_steps else 1.0
        warm *= self._follow(step) if self._by_optimizer else 1.0
        for layer in self._layers():
            kept = self._of_layer(layer)
            if self._by_step:
                kept.target = self._checked(self.schedule(step))
            kept.see(_present(layer))
            layer.decorrelator.learning_rate = kept.value = warm * kept.factor * kept.target

    def __getstate__(self) -> dict[str, Any]:  # copies and pickles go without the model
        return {**state_without_model(self), "_of_layers": {}}


class _Rate:
    """Holds the rate of one layer: its target, the value last set, the factor of other callbacks."""

    def __init__(self, target: float) -> None:
        self.target, self.factor = target, 1.0
        self.value: float | None = None

    def begin(self, by_hand: float, alone: bool) -> None:
        """Begins a `fit`; `by_hand` is the rate last set other than as a weight.

        Without a schedule, if `alone`, what it has become stays.
        """
        if alone and self.value is not None:
            same = math.isclose(by_hand, self.value, rel_tol=1e-5)
            self.target = self.target * self.factor if same else by_hand
        self.value, self.factor = None, 1.0

    def see(self, present: float) -> None:
        if self.value and not math.isclose(present, self.value, rel_tol=1e-5):
            self.factor *= present / self.value


def _present(layer: Decorrelation) -> float:
    return float(ops.convert_to_numpy(layer.decorrelator.learning_rate))
