"""Measures the decorrelation of every layer while a model trains."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from keras_decorr.backend.keras_internals import state_without_model
from keras_decorr.decorrelators.arguments import check_count
from keras_decorr.metrics.decorrelation_state import DecorrelationState, decorrelation_state
from keras_decorr.metrics.sampled_inputs import names_of
from keras_decorr.training.step import decorrelation_layers
from keras_decorr.typing import Tensors

FIGURES = DecorrelationState._fields[3:]  # those that change


class DecorrelationMonitor(keras.callbacks.Callback):
    """Measures `keras_decorr.metrics.decorrelation_state` on a fixed batch while a model trains.

    Adds the figures of each layer to the logs of the epoch as `<figure>/<layer>`. So `History` holds
    them, and Keras's callbacks after this one in the list write them: `keras.callbacks.CSVLogger` to a
    file, `keras.callbacks.TensorBoard` to TensorBoard. No weight, no M and no seed is changed.

    In an epoch without a measurement the logs hold NaN, as `CSVLogger` only writes the columns of the
    first epoch. `benchmarks/monitor_cost.py` measures what it costs.

    Args:
        x: Inputs of the fixed batch, an array or a structure of them.
        every: Measure every so many epochs, or steps. Defaults to 1.
        unit: `"epoch"` or `"step"`. The logs hold the last measurement of an epoch; `states` holds all.
            Defaults to `"epoch"`.
        figures: The fields of `DecorrelationState` that go into the logs. Defaults to the energy after
            M, the whiteness after M, the condition number of M, and the gain.
        max_rows: The most rows (samples, steps, patches) a layer. Defaults to 128, enough to see a
            trend; figures of one net by themselves need more.

    Attributes:
        states: List of `(epoch, step, [DecorrelationState, ...])` of the last `fit`; the step counts
            from the start of the fit.

    Raises:
        ValueError: If an argument is out of its range; in `fit`, if the model has no decorrelating
            layer.

    Example:

    >>> import keras, numpy as np, keras_decorr
    >>> layer = keras_decorr.layers.DecorDense(10, activation="softmax", name="out")
    >>> model = keras_decorr.Sequential([keras.Input((64,)), layer])
    >>> model.compile("adam", "sparse_categorical_crossentropy")
    >>> x, y = np.random.rand(128, 64).astype("float32"), np.random.randint(0, 10, 128)
    >>> monitor = keras_decorr.callbacks.DecorrelationMonitor(x[:64])
    >>> history = model.fit(x, y, epochs=2, verbose=0, callbacks=[monitor])
    >>> len(history.history["energy_after/out"])
    2
    """

    def __init__(
        self,
        x: Tensors,
        every: int = 1,
        unit: str = "epoch",
        figures: Sequence[str] = ("energy_after", "whiteness_after", "condition", "gain"),
        max_rows: int = 128,
    ) -> None:
        super().__init__()
        self.x = keras.tree.map_structure(
            lambda x: ops.convert_to_numpy(ops.convert_to_tensor(x)), x
        )
        self.every = check_count("DecorrelationMonitor", "every", every)
        if unit not in ("epoch", "step"):
            raise ValueError(
                "Argument `unit` of DecorrelationMonitor must be 'epoch' or 'step'. "
                f"Received: {unit!r}"
            )
        unknown = [figure for figure in figures if figure not in FIGURES]
        if isinstance(figures, str) or unknown:
            raise ValueError(
                f"Argument `figures` of DecorrelationMonitor must be a list of {FIGURES}. "
                f"Received: {figures!r}"
            )
        self.unit = unit
        self.figures = tuple(figures)
        self.max_rows = check_count("DecorrelationMonitor", "max_rows", max_rows)
        self.states: list[tuple[int, int, list[DecorrelationState]]] = []

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.states, self._before = [], 0
        self._logged: dict[str, float] = {}

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch, self._begun = epoch, 0
        self._logged = dict.fromkeys(self._logged, math.nan)

    # At the beginning of the next step, not at the end of one: that leaves JAX free to run ahead.
    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._measure_if_due(self._begun, batch)
        self._begun = batch

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        done = (self.params or {}).get("steps") or self._begun + self.model.steps_per_execution
        if self.unit == "step":
            self._measure_if_due(self._begun, done)
        elif (epoch + 1) % self.every == 0:
            self._measure(self._before + done)
        self._before += done
        if not self._logged:  # nothing yet, but the columns must be there
            self._log(names_of(decorrelation_layers(self.model), self.model), {})
        if logs is not None:
            logs.update(self._logged)

    def _measure_if_due(self, before: int, done: int) -> None:
        # A call of the training function can be several steps.
        step = self._before + done
        if self.unit == "step" and step // self.every > (self._before + before) // self.every:
            self._measure(step)

    def _measure(self, step: int) -> None:
        states = decorrelation_state(self.model, self.x, self.max_rows)
        self.states.append((self._epoch, step, states))
        self._log([state.name for state in states], {state.name: state for state in states})

    def _log(self, names: list[str], states: Mapping[str, DecorrelationState]) -> None:
        for name in names:
            for figure in self.figures:
                self._logged[f"{figure}/{name}"] = getattr(states.get(name), figure, math.nan)

    def __getstate__(self) -> dict[str, Any]:  # copies and pickles go without the model
        return state_without_model(self)
