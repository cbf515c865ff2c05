"""How far the decorrelation of every layer has come, while a model trains."""

import csv
import math
import os

import keras
from keras import ops

from keras_decorr.backend.keras_internals import state_without_model
from keras_decorr.decorrelators.arguments import check_count
from keras_decorr.metrics.decorrelation_state import DecorrelationState, decorrelation_state
from keras_decorr.metrics.sampled_inputs import names_of
from keras_decorr.training.step import decorrelation_layers

FIGURES = DecorrelationState._fields[3:]  # those that change


class DecorrelationMonitor(keras.callbacks.Callback):
    """Measures `keras_decorr.metrics.decorrelation_state` on a fixed batch while a model trains.

    The figures of each layer go into the logs of the epoch as `<figure>/<layer>`, and so into `History`
    and into what callbacks later in the list write; all of them into a CSV file, one line a layer, and
    to TensorBoard, if these are asked for. Nothing moves: no weight, no M, no seed.

    Where nothing was measured in an epoch its logs hold NaN, as `CSVLogger` writes the columns of the
    first epoch alone. `benchmarks/monitor_cost.py` measures what it costs.

    Args:
        x: Inputs of the fixed batch, an array or a structure of them.
        every: Measure every so many epochs, or steps. Defaults to 1.
        unit: `"epoch"` or `"step"`. Of the measurements of an epoch the logs hold the last. Defaults to
            `"epoch"`.
        figures: The fields of `DecorrelationState` that go into the logs. Defaults to the energy after
            M, the whiteness after M, the condition number of M, and the gain.
        max_rows: The most rows (samples, steps, patches) a layer. Defaults to 128, enough to see a
            trend; figures of one net by themselves need more.
        path: CSV file to write, or `None`. A new `fit` writes it anew unless `append`.
        append: Go on with a CSV file that is there. Defaults to False.
        log_dir: Directory for TensorBoard, or `None`. It needs TensorFlow and TensorBoard, on any
            backend.

    Attributes:
        states: List of `(epoch, step, [DecorrelationState, ...])` of the last `fit`; the step counts
            from the start of the fit.

    Raises:
        ValueError: If an argument is out of its range; in `fit`, if the model has no decorrelating
            layer.
        ImportError: If `log_dir` is given without TensorFlow and TensorBoard.

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
        x,
        every=1,
        unit="epoch",
        figures=("energy_after", "whiteness_after", "condition", "gain"),
        max_rows=128,
        path=None,
        append=False,
        log_dir=None,
    ):
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
        self.path = None if path is None else os.fspath(path)
        self.append = append
        self.log_dir = None if log_dir is None else os.fspath(log_dir)
        if log_dir is not None:
            _tensorflow()
        self.states = []
        self._writer = None

    def on_train_begin(self, logs=None):
        self.states, self._before, self._logged = [], 0, {}
        if self.path is not None:
            os.makedirs(os.path.dirname(os.path.abspath(self.path)), exist_ok=True)
            if not (self.append and os.path.exists(self.path)):
                with open(self.path, "w", newline="") as file:
                    csv.writer(file).writerow(("epoch", "step", *DecorrelationState._fields))
        if self.log_dir is not None:
            self._writer = _tensorflow().summary.create_file_writer(self.log_dir)

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch, self._begun = epoch, 0
        self._logged = dict.fromkeys(self._logged, math.nan)

    # At the beginning of the next step, not at the end of one: that leaves JAX free to run ahead.
    def on_train_batch_begin(self, batch, logs=None):
        self._measure_if_due(self._begun, batch)
        self._begun = batch

    def on_epoch_end(self, epoch, logs=None):
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

    def on_train_end(self, logs=None):
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _measure_if_due(self, before, done):
        # A call of the training function can be several steps.
        step = self._before + done
        if self.unit == "step" and step // self.every > (self._before + before) // self.every:
            self._measure(step)

    def _measure(self, step):
        states = decorrelation_state(self.model, self.x, self.max_rows)
        self.states.append((self._epoch, step, states))
        self._log([state.name for state in states], {state.name: state for state in states})
        if self.path is not None:
            with open(self.path, "a", newline="") as file:
                csv.writer(file).writerows((self._epoch, step, *state) for state in states)
        if self._writer is not None:
            with self._writer.as_default(self._epoch if self.unit == "epoch" else step):
                for state in states:
                    for figure in FIGURES:
                        name = f"{figure}/{state.name}"
                        _tensorflow().summary.scalar(name, getattr(state, figure))
            self._writer.flush()

    def _log(self, names, states):
        for name in names:
            for figure in self.figures:
                self._logged[f"{figure}/{name}"] = getattr(states.get(name), figure, math.nan)

    def __getstate__(self):  # copies and pickles go without the model and the open file
        return {**state_without_model(self), "_writer": None}


def _tensorflow():
    try:
        import tensorboard  # noqa: F401
        import tensorflow
    except ImportError as error:
        raise ImportError(
            "Argument `log_dir` of DecorrelationMonitor needs TensorFlow and TensorBoard: pip install "
            "tensorflow tensorboard, or write a CSV file with `path`."
        ) from error
    return tensorflow
