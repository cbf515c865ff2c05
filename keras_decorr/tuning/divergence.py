"""Ending a trial whose loss runs away."""

import math
from typing import NoReturn

import keras
import keras_tuner

from keras_decorr.decorrelators.arguments import check_count, check_number


class StopDivergence(keras.callbacks.Callback):
    """Ends the training of a trial that diverges, and has KerasTuner score it as failed.

    It diverges if the loss of a batch is NaN or infinite, if the losses of `patience` batches in a row
    are above `factor` times that of the first batch, or if a validation metric is NaN or infinite.
    `DecorHyperModel` adds this callback by itself. `keras.callbacks.TerminateOnNaN` will not do: it
    stops a trial without a `FailedTrialError`, and none whose loss only grows.

    Args:
        factor: How many times the loss of the start is too much. Defaults to 10: with ten classes,
            where the loss of chance is 2.3, a trial is ended above 23.
        patience: Batches in a row, so that a spike that is overcome is not held against a trial.
            Defaults to 5.

    Raises:
        ValueError: If an argument is out of its range.
        keras_tuner.errors.FailedTrialError: In `fit`, if the trial diverges.

    Example:

    >>> import keras_decorr
    >>> callback = keras_decorr.tuning.StopDivergence(factor=5)
    """

    def __init__(self, factor: float = 10.0, patience: int = 5) -> None:
        super().__init__()
        self.factor = check_number("StopDivergence", "factor", factor, 1.0, open_low=True)
        self.patience = check_count("StopDivergence", "patience", patience)
        self.start: float | None = None
        self.above, self.mean, self.batches = 0, 0.0, 0

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.epoch, self.mean, self.batches = epoch, 0.0, 0

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        if not logs or "loss" not in logs:
            return
        mean = float(logs["loss"])
        if not math.isfinite(mean):
            self._fail(f"the loss is {mean} in batch {batch + 1} of epoch {self.epoch + 1}")
        # Keras shows the mean over the epoch so far; this is the mean since the last call.
        loss = mean + self.batches * (mean - self.mean) / (batch + 1 - self.batches)
        self.mean, self.batches = mean, batch + 1
        if self.start is None:
            self.start = loss
        self.above = self.above + 1 if loss > self.factor * abs(self.start) else 0
        if self.above >= self.patience:
            self._fail(
                f"the loss was {self.start:.3g} in the first batch and is {loss:.3g} in batch "
                f"{batch + 1} of epoch {self.epoch + 1}"
            )

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        for name, value in (logs or {}).items():
            if name.startswith("val_") and not math.isfinite(value):
                self._fail(f"{name} is {value} after epoch {epoch + 1}")

    def _fail(self, why: str) -> NoReturn:
        raise keras_tuner.errors.FailedTrialError(f"The trial diverges: {why}.")
