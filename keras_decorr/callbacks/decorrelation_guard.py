"""Restores M, and the weights if need be, when the decorrelation of a model fails.

N. Ahmad, "Correlations Are Ruining Your Gradient Descent", arXiv 2407.10780: without a gain, or at too
high a rate, M diverges or collapses.
"""

import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_decorr.backend.keras_internals import model_of, state_without_model, sync_state
from keras_decorr.callbacks.matrix_scale import is_cheap, matrix_scale
from keras_decorr.callbacks.messages import print_message
from keras_decorr.callbacks.snapshot import Snapshot, finite, is_float
from keras_decorr.decorrelators.arguments import check_count, check_number
from keras_decorr.layers import Decorrelation
from keras_decorr.training.step import decorrelation_layers, name_within

# An M this close to a limit has not failed, but is not kept: it would soon fail again once restored.
_MARGIN = 10.0


class GuardEvent(NamedTuple):
    """Records one failure that `DecorrelationGuard` found.

    Attributes:
        epoch: Epoch, from 0.
        step: Training step of the epoch after which it was found, from 0.
        cause: `"matrix"` (an M failed), `"weights"` (weights are not finite), `"batch"` (they are not,
            and the inputs of a batch were not finite either), or `"limit"` (the training was ended).
        layers: Names of the layers whose M failed.
        message: The message that was printed.

    Example:

    >>> import keras_decorr
    >>> keras_decorr.callbacks.GuardEvent._fields
    ('epoch', 'step', 'cause', 'layers', 'message')
    """

    epoch: int
    step: int
    cause: str
    layers: tuple[str, ...]
    message: str


class DecorrelationGuard(keras.callbacks.Callback):
    """Restores M when it fails and lowers its rate; restores the weights that a failed M destroyed.

    - An M that diverges (NaN, infinity, a gain that explodes or vanishes) or becomes singular is
      replaced by the last good copy, one within a tenth of the limits. Its rate is multiplied by
      `factor`. The weights stay as they are.
    - If the loss or the weights are not finite, the weights, the optimizer's variables, the other
      state of the model (moving averages) and every M are restored. The rate is lowered for each M
      that failed, or for all if none did; for none if the inputs of a batch were not finite, either.

    M and the weights are checked every `every` steps, at the end of an epoch, and when the loss
    becomes NaN or infinite. The condition number of an M of more than about 1250 features without
    structure is only checked at the end of an epoch and when the loss is not finite. The metrics of an
    epoch are restored if they were copied in the same epoch; otherwise its logs hold NaN.

    It leaves to Keras what is not about M:

    - batches that hold NaN: remove them from the data, or skip their steps with
      `keras.optimizers.LossScaleOptimizer(inner, initial_scale=1.0, dynamic_growth_steps=2**31 - 2)`.
      M is never updated from such a batch;
    - ending a training whose loss is NaN: `keras.callbacks.TerminateOnNaN`;
    - resuming after a crash, and keeping the best weights: `keras.callbacks.BackupAndRestore` and
      `ModelCheckpoint`.

    Args:
        every: Check every so many training steps, and at most this many steps are lost when the weights
            are restored. Defaults to 100.
        factor: Factor on the rate of an M that failed, in (0, 1). Defaults to 0.1.
        max_condition: Condition number above which M counts as singular. Defaults to 1e6, where float32
            resolves the smallest direction to one digit.
        max_gain: M explodes if its largest singular value is above this, and vanishes if it is below
            the inverse. Defaults to 1e4.
        max_restores: End the training after so many restorations without a good check in between. 1
            ends it at the first failure. Defaults to 10.
        verbose: 1 to print the events, 0 to keep them in `events` only. Defaults to 1.

    Attributes:
        events: A list of `GuardEvent` of the last `fit`.

    Raises:
        ValueError: If an argument is out of its range; in `fit`, if the model has no decorrelating
            layer, or starts with weights that are not finite.

    Example:

    >>> import keras, numpy as np, keras_decorr
    >>> layer = keras_decorr.layers.DecorDense(1, decorrelator="decorrelated_backprop")
    >>> model = keras_decorr.Sequential([keras.Input((6,)), layer])
    >>> model.compile("adam", "mse")
    >>> model.decorrelation_rate = 1e3  # far too high
    >>> x = np.random.rand(64, 6).astype("float32")
    >>> guard = keras_decorr.callbacks.DecorrelationGuard(every=1, verbose=0)
    >>> history = model.fit(x, x[:, :1], batch_size=16, verbose=0, callbacks=[guard])
    >>> guard.events[0].cause
    'matrix'
    >>> all(np.isfinite(weights).all() for weights in model.get_weights())
    True

    Reference:
        N. Ahmad, "Correlations Are Ruining Your Gradient Descent", arXiv 2407.10780.
    """

    def __init__(
        self,
        every: int = 100,
        factor: float = 0.1,
        max_condition: float = 1e6,
        max_gain: float = 1e4,
        max_restores: int = 10,
        verbose: int = 1,
    ) -> None:
        super().__init__()
        name = type(self).__name__
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
        self.events: list[GuardEvent] = []
        self._forget()

    def _forget(self) -> None:
        self._layers: list[Decorrelation] = []
        self._state: Snapshot | None = None  # the last good one of all but M
        self._metrics: Snapshot | None = None  # of the same time, within the epoch
        self._matrices: dict[Decorrelation, Snapshot] = {}

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._forget()
        self.events = []
        self._started = False
        self._restores = 0
        if self.model.built and not self.model.optimizer.built:
            # Otherwise the first step would create its variables, after the first copy.
            self.model.optimizer.build(self.model.trainable_variables)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch, self._done = epoch, 0
        self._loss_is_finite, self._checked = True, False
        self._metrics = None
        if not self._started:  # not in on_train_begin, where other callbacks restore a checkpoint
            self._started = True
            if self.model.built:
                self._start()

    def _start(self) -> None:
        self._find_layers()
        weights = self.model.trainable_variables
        bad = [v.path for v, good in zip(weights, finite(weights), strict=True) if not good]
        if bad:
            raise ValueError(
                "DecorrelationGuard needs finite weights at the start of the training, to restore "
                f"them. Load others. Received: NaN or infinity in {bad}"
            )
        self._keep(self._layers)
        self._metrics = None

    def _find_layers(self) -> None:
        self._layers = decorrelation_layers(self.model)
        if not self._layers:
            raise ValueError(
                "DecorrelationGuard finds no decorrelating layer. Use the layers of "
                "keras_decorr.layers, or `keras_decorr.decorrelate(model)`. "
                f"Received: {self.model.name!r}"
            )

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        before, self._done = self._done, batch + 1
        if not self._layers:  # this step built the model
            self._find_layers()
        # The logs hold the mean over the epoch so far, so it becomes NaN once and stays so.
        was_finite = self._loss_is_finite
        self._loss_is_finite = math.isfinite((logs or {}).get("loss", 0.0))
        if was_finite and not self._loss_is_finite:
            self._check(thorough=True, loss_failed=True)
        elif self._state is None or self._done // self.every > before // self.every:
            self._check()

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        # Checks before the validation, which would use moving averages that are not finite.
        if self._state is not None and not self._checked:
            self._checked = True
            self._check(thorough=True)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if not self._checked:
            self._check(thorough=True)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._forget()  # frees the memory of the copies

    def _check(self, thorough: bool = False, loss_failed: bool = False) -> None:
        """Checks every M and the weights; keeps copies of what is good and repairs what is not.

        Args:
            thorough: Compute the condition number of a large M, too.
            loss_failed: The loss has become NaN or infinite at the last step.
        """
        sync_state(model_of(self))  # on JAX the variables are not up to date during an epoch
        exact = {layer for layer in self._layers if thorough or is_cheap(layer)}
        scales = {layer: matrix_scale(layer, thorough=layer in exact) for layer in self._layers}
        limits = self.max_condition, self.max_gain
        failures = {
            layer: failure for layer, scale in scales.items() if (failure := scale.failure(*limits))
        }
        weights_failed = not all(finite(self._variables()))
        if failures or weights_failed:
            self._repair(failures, weights_failed, loss_failed)
        elif loss_failed:  # the optimizer skipped the step: nothing is lost but the metrics
            self._restore_metrics()
        else:
            self._restores = 0
            inner = [limit / _MARGIN for limit in limits]
            self._keep(layer for layer in exact if not scales[layer].failure(*inner))

    def _keep(self, proven: Iterable[Decorrelation]) -> None:
        """Copies the present state as good, with the M of the layers `proven`."""
        if self._state is None:  # the first copy: of each M there must be one
            proven = self._layers
        self._state = Snapshot(self._variables())
        self._metrics = Snapshot(self.model.metrics_variables)
        self._matrices |= {layer: Snapshot(layer.matrix_variables) for layer in proven}
        self._skipped = self._skipped_updates()

    def _variables(self) -> list[keras.Variable]:
        """Returns the variables of the model and its optimizer, without those of M and metrics."""
        others = {id(v) for layer in self._layers for v in layer.variables}
        others |= {id(v) for v in self.model.metrics_variables}
        of_model = [v for v in self.model.variables if is_float(v) and id(v) not in others]
        return of_model + [v for v in self.model.optimizer.variables if v.name != "learning_rate"]

    def _repair(
        self, failures: Mapping[Decorrelation, str], weights_failed: bool, loss_failed: bool
    ) -> None:
        """Restores what failed, and lowers the rates of the M that are at fault."""
        if self._state is None:
            self._stop("the first steps failed, and there is no good state to restore")
            return
        what = [f"M of {name_within(layer, model_of(self))!r} {f}" for layer, f in failures.items()]
        if weights_failed:
            what.append("weights are not finite")
        cause, at_fault = "matrix" if failures else "weights", [*failures] or self._layers
        if not failures and self._skipped_updates() > self._skipped:
            # No M acts on the inputs of the first layer, so none is the cause.
            cause, at_fault = "batch", []
            what.append("the inputs of a batch were not")
        if weights_failed or loss_failed:
            restored, done = self._layers, "The last good weights, optimizer and M are restored."
            self._state.restore()
            self._restore_metrics()
        else:
            restored, done = list(failures), "The last good M is restored."
        for layer in restored:
            self._matrices[layer].restore()
        for layer in at_fault:
            layer.decorrelator.scale_rate(self.factor)
        self._skipped = self._skipped_updates()
        if at_fault:
            rates = sorted({_rate(layer) for layer in at_fault})
            done += f" Decorrelation rate now {', '.join(f'{rate:.1e}' for rate in rates)}."
        self._record(cause, failures, f"{' and '.join(what)}. {done}")
        self._restores += 1
        if self._restores >= self.max_restores:
            self._stop(f"{self._restores} restorations without a good check in between")

    def _restore_metrics(self) -> None:
        # Those of an earlier epoch would be wrong; then the logs of this epoch hold NaN.
        if self._metrics is not None:
            self._metrics.restore()
            self._loss_is_finite = True

    def _skipped_updates(self) -> int:
        return int(ops.convert_to_numpy(self._layers[0].skipped_updates))

    def _stop(self, why: str) -> None:
        self._record("limit", (), f"{why}. Training stops.")
        model_of(self).stop_training = True

    def _record(self, cause: str, layers: Collection[Decorrelation], message: str) -> None:
        message = f"DecorrelationGuard, epoch {self._epoch + 1}, step {self._done}: {message}"
        names = tuple(name_within(layer, model_of(self)) for layer in layers)
        self.events.append(GuardEvent(self._epoch, self._done - 1, cause, names, message))
        if self.verbose:
            print_message(f"\n{message}")

    def __getstate__(self) -> dict[str, Any]:  # copies and pickles go without the model
        copies = {"_state": None, "_metrics": None}
        return {**state_without_model(self), **copies, "_layers": [], "_matrices": {}}


def _rate(layer: Decorrelation) -> float:
    return float(ops.convert_to_numpy(layer.decorrelator.learning_rate))
