"""Stops the updates of M in the middle of training."""

from typing import Any

import keras

from keras_decorr.backend.keras_internals import model_of, state_without_model
from keras_decorr.backend.optimizers import steps_taken
from keras_decorr.callbacks.messages import print_message
from keras_decorr.decorrelators.arguments import check_count
from keras_decorr.layers import Decorrelation
from keras_decorr.training.step import decorrelation_layers


class FreezeDecorrelation(keras.callbacks.Callback):
    """Freezes the M of every layer from an epoch or a step on, so that its updates cost nothing.

    M changes little once it fits the data. The callback sets `trainable = False` on the `Decorrelation`
    of every layer; the kernels go on learning. A frozen layer centres its inputs by the moving mean, as
    in inference: training then uses the function that `keras_decorr.fold` gives a plain layer.
    `decorrelation_loss` in the logs is 0 from then on. The step is compiled once more at that moment.
    Layers stay frozen after `fit`; set `trainable = True` on them and compile the model to undo that.

    A training that resumes (`keras.callbacks.BackupAndRestore`, `initial_epoch`) behind that epoch or
    step is frozen from its start.

    Args:
        epoch: The first epoch with a frozen M, counted from 0 as in `fit`.
        step: Instead of `epoch`: the number of training steps after which M is frozen. Those that the
            optimizer took in an earlier `fit` count. With `steps_per_execution` M is frozen at the
            beginning of an execution.
        verbose: 1 to print a message when M is frozen. Defaults to 0.

    Raises:
        ValueError: If not exactly one of `epoch` and `step` is given, or it is negative; in `fit`, if
            the model has no decorrelating layer.

    Example:

    >>> import numpy as np, keras_decorr
    >>> model = keras_decorr.models.dense_net((8, 8, 1), 10, hidden=(16,))
    >>> model.compile("adam", "sparse_categorical_crossentropy")
    >>> x, y = np.random.rand(64, 8, 8, 1).astype("float32"), np.random.randint(0, 10, 64)
    >>> freeze = keras_decorr.callbacks.FreezeDecorrelation(epoch=1)
    >>> history = model.fit(x, y, epochs=2, verbose=0, callbacks=[freeze])
    >>> [int(layer.steps) for layer in model.decorrelation_layers]
    [2, 2]
    """

    def __init__(self, epoch: int | None = None, step: int | None = None, verbose: int = 0) -> None:
        super().__init__()
        name = type(self).__name__
        if (epoch is None) == (step is None):
            raise ValueError(
                f"{name} needs one of the arguments `epoch` and `step`. "
                f"Received: epoch={epoch!r}, step={step!r}"
            )
        self.epoch = None if epoch is None else check_count(name, "epoch", epoch, low=0)
        self.step = None if step is None else check_count(name, "step", step, low=0)
        self.verbose = verbose
        self._is_due = False

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._is_due = False

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._now = epoch
        if self.epoch is not None:
            self._freeze_if(epoch >= self.epoch)
        elif not self._is_due:
            self._before = steps_taken(self.model.optimizer)

    # At the beginning of a step, so that this step is the first without an update. It reads no state.
    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if self.step is not None and not self._is_due:
            self._freeze_if(self._before + batch >= self.step)

    def _freeze_if(self, due: bool) -> None:
        if not due or self._is_due:
            return
        self._is_due = True
        model: Any = model_of(self)
        layers: list[Decorrelation] = decorrelation_layers(model)
        if not layers:
            raise ValueError(
                "FreezeDecorrelation finds no decorrelating layer. Use the layers of "
                "keras_decorr.layers, or `keras_decorr.decorrelate(model)`. "
                f"Received: {model.name!r}"
            )
        learning = [layer for layer in layers if layer.trainable]
        if not learning:
            return
        for layer in learning:
            layer.trainable = False
        model.make_train_function(force=True)
        if self.verbose:
            print_message(
                f"\nEpoch {self._now + 1}: FreezeDecorrelation, M of {len(learning)} layers stays as "
                "it is from now on."
            )

    def __getstate__(self) -> dict[str, Any]:  # copies and pickles go without the model
        return state_without_model(self)
