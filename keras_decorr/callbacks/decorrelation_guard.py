"""Keeps a model alive through what can go wrong with decorrelation, and with data.

N. Ahmad, "Correlations Are Ruining Your Gradient Descent", arXiv 2407.10780: without a gain, or at too
high a rate, M diverges or collapses.
"""

import math
from itertools import chain
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_decorr.backend.keras_internals import (
    flatten_layers,
    model_of,
    present_values,
    state_without_model,
)
from keras_decorr.callbacks.finite_steps import FiniteSteps, steps_taken
from keras_decorr.callbacks.matrix_scale import is_cheap, matrix_scale
from keras_decorr.callbacks.messages import print_message
from keras_decorr.callbacks.snapshot import Snapshot, finite, is_float
from keras_decorr.decorrelators.arguments import check_count, check_number
from keras_decorr.training.step import decorrelation_layers, name_within

# An M this close to a limit is no failure, but would soon be one again if it were gone back to.
_MARGIN = 10.0
# So many batches in a row whose loss is not finite cannot be the fault of the data alone.
_IN_A_ROW = 10


class GuardEvent(NamedTuple):
    """What `DecorrelationGuard` saw and did.

    Attributes:
        epoch: Epoch, from 0.
        step: Training step of the epoch after which it was seen, from 0.
        cause: `"batch"` (a loss or gradient that is not finite), `"matrix"` (an M), `"weights"`, or
            `"limit"` (it gave up).
        layers: Names of the layers whose M failed.
        message: What was printed.

    Example:

    >>> import keras_decorr
    >>> keras_decorr.callbacks.GuardEvent._fields
    ('epoch', 'step', 'cause', 'layers', 'message')
    """

    epoch: int
    step: int
    cause: str
    layers: tuple
    message: str


class DecorrelationGuard(keras.callbacks.Callback):
    """Sees failures of M, of the weights and of batches, and repairs them or stops.

    - A batch whose loss or gradient is not finite: the optimizer leaves its step out, as M does, and
      what it did to metrics and to moving averages of other layers is undone. Nothing else is lost.
    - An M that diverges (NaN, infinity, a gain that explodes or vanishes) or becomes singular: M goes
      back to the last that was good, within a tenth of the limits, and its rate is lowered.
      If the loss is not finite, either, the weights and the optimizer go back with it.
    - Weights that are not finite, or ten batches in a row without a finite loss: everything goes back,
      and all rates are lowered.

    While it trains, the model's optimizer is in a `keras.optimizers.LossScaleOptimizer` with a scale of
    1, which does the leaving out. M and the weights are looked at every so many steps, at the end of
    an epoch, and after every batch whose loss is not finite; the condition number of an M of more than
    about 1250 features without structure only at the end of an epoch.

    Args:
        action: `"restore"`, or `"stop"`: restore, then end the training. Defaults to `"restore"`.
        every: Look every so many training steps. Defaults to 100. As much training is lost where the
            weights must go back.
        factor: What a rate is multiplied by, in (0, 1). Defaults to 0.1.
        max_condition: Condition number above which M counts as singular. Defaults to 1e6, where float32
            knows the smallest direction to one digit.
        max_gain: M explodes where its largest singular value is above this, and vanishes where it is
            below its inverse. Defaults to 1e4.
        max_restores: End the training after so many restorations of M or weights without a good look in
            between. Defaults to 10.
        verbose: 1 to print what is done, 0 to keep it in `events` only. Defaults to 1.

    Attributes:
        events: A list of `GuardEvent` of the last `fit`.

    Raises:
        ValueError: If an argument is out of its range; in `fit`, if the model has no decorrelating
            layer, or weights that are not finite.

    Example:

    >>> import keras, numpy as np, keras_decorr
    >>> model = keras_decorr.Sequential([keras.Input((6,)), keras_decorr.layers.DecorDense(1)])
    >>> model.compile("adam", "mse")
    >>> x = np.random.rand(64, 6).astype("float32")
    >>> x[3] = np.nan
    >>> guard = keras_decorr.callbacks.DecorrelationGuard(verbose=0)
    >>> history = model.fit(x, x[:, :1] * 0, batch_size=16, verbose=0, callbacks=[guard])
    >>> [event.cause for event in guard.events]
    ['batch']
    >>> bool(np.isfinite(history.history["loss"][0]))
    True

    Reference:
        N. Ahmad, "Correlations Are Ruining Your Gradient Descent", arXiv 2407.10780.
    """

    def __init__(
        self,
        action="restore",
        every=100,
        factor=0.1,
        max_condition=1e6,
        max_gain=1e4,
        max_restores=10,
        verbose=1,
    ):
        super().__init__()
        name = type(self).__name__
        if action not in ("restore", "stop"):
            raise ValueError(
                f"Argument `action` of {name} must be 'restore' or 'stop'. Received: {action!r}"
            )
        self.action = action
        self.every = check_count(name, "every", every)
        self.factor = check_number(name, "factor", factor, 0.0, 1.0, open_low=True)
        if factor == 1:
            raise ValueError(
                f"Argument `factor` of {name} must be below 1, or the rate stays. Received: {factor!r}"
            )
        self.max_condition = check_number(name, "max_condition", max_condition, 1.0, open_low=True)
        self.max_gain = check_number(name, "max_gain", max_gain, 1.0, open_low=True)
        self.max_restores = check_count(name, "max_restores", max_restores)
        self.verbose = verbose
        self.events = []
        self._forget()

    def _forget(self):
        self._finite_steps = FiniteSteps()
        self._layers: list[Any] = []
        self._matrices: dict[int, Any] = {}
        self._learned: Any = None
        self._small: Any = None

    # --- the training -------------------------------------------------------------------------

    def on_train_begin(self, logs=None):
        self.events = []
        self._layers, self._learned, self._matrices, self._small = [], None, {}, None
        self._restores = self._bad_in_a_row = 0
        self._epoch, self._done = 0, 0
        model = self.model
        self._finite_steps.install(model)
        if model.built and not model.optimizer.built:
            # Else its variables would come only with the first step, and could not go back to a start.
            model.optimizer.build(model.trainable_variables)
        self._started = False

    def _start(self, model):
        """Keep the state that the training starts with."""
        self._count(model)
        if model.built:
            self._find_layers(model)
            learned = model.trainable_variables
            bad = [v.path for v, good in zip(learned, finite(learned), strict=True) if not good]
            if bad:
                raise ValueError(
                    "DecorrelationGuard has nothing good to go back to: there are weights that are "
                    f"not finite before the training. Load others. Received: {bad}"
                )
            self._keep(model, self._layers)

    def _find_layers(self, model):
        self._layers = decorrelation_layers(model)
        if not self._layers:
            raise ValueError(
                "DecorrelationGuard finds no decorrelating layer. Use the layers of "
                "keras_decorr.layers, or `keras_decorr.decorrelate(model)`. "
                f"Received: {model.name!r}"
            )

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch, self._done, self._good, self._looked = epoch, 0, 0, False
        if not self._started:  # by now other callbacks have loaded what they go on from
            self._started = True
            self._start(self.model)
        self._keep_small()

    def on_train_batch_end(self, batch, logs=None):
        # The last of several steps per execution may be more than there are.
        before, self._done = (
            self._done,
            min(batch + 1, (self.params or {}).get("steps") or math.inf),
        )
        self._processed += self._done - before
        if not self._layers:  # the model was built in this step
            self._find_layers(self.model)
        loss = (logs or {}).get("loss")
        if loss is not None and not math.isfinite(loss):
            self._bad_in_a_row += 1
            self._reported += 1
            self._look(bad=True)
            return
        self._bad_in_a_row = 0
        self._good += 1
        self._keep_small(again=self._good == 1)  # the first step may have created some
        if self._learned is None or self._done // self.every > before // self.every:
            self._look()

    def on_test_begin(self, logs=None):
        # Before the validation, which would see averages that are not finite.
        if self._training and not self._looked:
            self._look(thorough=True)
            self._looked = True

    def on_epoch_end(self, epoch, logs=None):
        if not self._looked:
            self._look(thorough=True)
        if self._done and not self._good:
            self._say("limit", (), "no batch of the epoch had a finite loss", "Training stops.")
            model_of(self).stop_training = True

    def on_train_end(self, logs=None):
        self._finite_steps.remove(self.model)
        self._learned, self._matrices, self._small = None, {}, None  # their memory

    @property
    def _training(self):
        return self._small is not None

    # --- what is good -------------------------------------------------------------------------

    def _keep(self, model, proven):
        """Take the present state for good, and the M of the layers `proven`."""
        self._learned = Snapshot(self._learned_variables(model))
        for layer in proven:
            self._matrices[id(layer)] = Snapshot(layer.matrix_variables)
        self._count(model)

    def _learned_variables(self, model):
        of_optimizer = [v for v in model.optimizer.variables if v.name != "learning_rate"]
        return [*model.trainable_variables, *of_optimizer]

    def _count(self, model):
        """Count from here the steps that the optimizer leaves out."""
        self._processed = self._reported = 0
        self._taken = steps_taken(model.optimizer)

    def _keep_small(self, again=True):
        """Keep what every batch changes beside weights and M: metrics, moving averages of other layers.

        Done at every step, so it may not sync the state on JAX, and finds the variables once an epoch.
        """
        on_jax = keras.backend.backend() == "jax"
        model = model_of(self) if on_jax else self.model
        if again:
            self._small_variables = self._find_small(model)
        variables, tensors = [], []
        for group, found in self._small_variables.items():
            present = present_values(model, group) if found and on_jax else ()
            variables += [v for _, v in found]
            # Elsewhere the place in the list says nothing: a metric may have come in between.
            tensors += [present[i] if on_jax else v.value for i, v in found]
        self._small = Snapshot(variables, tensors)

    def _find_small(self, model):
        """The variables of `_keep_small`, each with its place in its list of the model."""
        own = {id(v) for layer in self._layers for v in layer.variables}
        return {
            group: [
                (i, v)
                for i, v in enumerate(getattr(model, group))
                if is_float(v) and id(v) not in own
            ]
            for group in ("metrics_variables", "non_trainable_variables")
        }

    def _restore_small(self, model):
        """Undo what the last batch did to them. Those that it created go to their start."""
        present = chain(*self._find_small(model).values())
        known = {id(v) for _, v in chain(*self._small_variables.values())}
        created = {id(v) for _, v in present} - known
        if created:
            _reset(model, created)
        self._small.restore()

    # --- what is not --------------------------------------------------------------------------

    def _look(self, bad=False, thorough=False):
        """Look at everything, and repair it.

        Args:
            bad: The loss of the last batch was not finite.
            thorough: Spare no cost.
        """
        model = self.model
        seen = [layer for layer in self._layers if bad or thorough or is_cheap(layer)]
        scales = {layer: matrix_scale(layer, thorough=layer in seen) for layer in self._layers}
        limits = self.max_condition, self.max_gain
        failures = {
            layer: failure for layer, scale in scales.items() if (failure := scale.failure(*limits))
        }
        weights = all(finite(self._learned_variables(model)))
        if bad:
            self._restore_small(model)
            self._finite_steps.reset()
        if not weights or self._bad_in_a_row >= _IN_A_ROW or (bad and failures):
            self._restore_all(model, failures, weights)
        elif failures:
            self._restore_matrices(failures)
        else:
            self._report_steps(model, bad)
            if not bad:
                self._restores = 0
                inner = [limit / _MARGIN for limit in limits]
                self._keep(model, [layer for layer in seen if not scales[layer].failure(*inner)])
            return
        self._restores += 1
        if self._restores >= self.max_restores:
            self._say("limit", (), f"{self._restores} restorations did not help", "Training stops.")
            model.stop_training = True

    def _report_steps(self, model, bad):
        taken = steps_taken(model.optimizer) - self._taken
        others = self._processed - taken - self._reported
        if bad:
            self._say("batch", (), "the loss of a batch is not finite", "Its step is left out.")
        if others > 0 and self._finite_steps.installed:
            steps = "a step" if others == 1 else f"{others} steps"
            self._say("batch", (), f"the gradient of {steps} is not finite", "It is left out.")
            self._finite_steps.reset()
            self._reported += others

    def _restore_matrices(self, failures):
        for layer in failures:
            self._restore_matrix(layer)
        self._lower(failures)
        self._say("matrix", failures, self._what(failures), "M goes back to the last good one.")

    def _restore_matrix(self, layer):
        if id(layer) in self._matrices:
            self._matrices[id(layer)].restore()
            return
        layer.reset_matrix()  # it failed before it was ever seen to be good

    def _restore_all(self, model, failures, weights):
        if self._learned is None:
            self._say("limit", (), "the first steps failed, and nothing is good", "Training stops.")
            model.stop_training = True
            return
        self._learned.restore()
        for layer in self._layers:
            self._restore_matrix(layer)
        self._finite_steps.reset()
        self._count(model)
        self._bad_in_a_row = 0
        self._lower(failures or self._layers)
        what = self._what(failures) if failures else "the loss stays not finite"
        if not weights:
            what = " and ".join(filter(None, (self._what(failures), "weights are not finite")))
        done = "Weights, optimizer and M go back to the last good ones."
        self._say("matrix" if failures else "weights", failures, what, done)

    def _lower(self, layers):
        for layer in layers:
            layer.decorrelator.scale_rate(self.factor)

    def _what(self, failures):
        return "; ".join(
            f"M of {name_within(layer, model_of(self))!r} {failure}"
            for layer, failure in failures.items()
        )

    def _say(self, cause, layers, what, done):
        """Print and keep what was seen and done, and stop if that is asked for."""
        if cause in ("matrix", "weights"):
            rates = sorted(
                {
                    float(ops.convert_to_numpy(layer.decorrelator.learning_rate))
                    for layer in layers or self._layers
                }
            )
            done += f" Decorrelation rate now {', '.join(f'{rate:.1e}' for rate in rates)}."
        if self.action == "stop" and cause != "limit":
            done += " Training stops."
            model_of(self).stop_training = True
        message = f"DecorrelationGuard, epoch {self._epoch + 1}, step {self._done}: {what}. {done}"
        names = tuple(name_within(layer, model_of(self)) for layer in layers)
        self.events.append(GuardEvent(self._epoch, self._done - 1, cause, names, message))
        if self.verbose:
            print_message(f"\n{message}")

    def __getstate__(self):  # copies and pickles go without the model and what was kept of it
        return {**state_without_model(self), "_layers": [], "_finite_steps": FiniteSteps()}


def _reset(model, created):
    """Give new metrics and moving averages their first values.

    Of other layers' state only what is named as that of `keras.layers.BatchNormalization`: what else
    the first, bad batch has created stays as it is.

    Args:
        model: The model.
        created: The ids of the variables.
    """
    for metric in model.metrics:
        if any(id(v) in created for v in metric.variables):
            metric.reset_state()
    for layer in flatten_layers(model, include_self=False):
        for name in ("moving_mean", "moving_variance"):
            variable = getattr(layer, name, None)
            initializer = getattr(layer, f"{name}_initializer", None)
            if variable is not None and id(variable) in created and initializer is not None:
                variable.assign(initializer(variable.shape, dtype=variable.dtype))
