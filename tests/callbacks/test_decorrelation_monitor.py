"""The monitor logs what `decorrelation_state` measures, and changes nothing."""

import copy
import csv
import pickle

import keras
import numpy as np
import pytest
from keras import ops

import keras_decorr
from keras_decorr.callbacks import DecorrelationMonitor
from keras_decorr.layers import DecorDense
from keras_decorr.metrics import decorrelation_state
from tests.helpers import rewind


def network():
    keras.utils.set_random_seed(2)
    model = keras_decorr.Sequential([
        keras.Input((6,)),
        DecorDense(5, activation="tanh", name="hidden"),
        keras.layers.Dropout(0.2),
        DecorDense(1, name="out"),
    ])  # fmt: skip
    model.compile("adam", "mse")
    return model


@pytest.fixture
def x(rng):
    return rng.normal(size=(40, 6)).astype("float32")


def fit(model, x, epochs, *callbacks):
    return model.fit(
        x, x[:, :1], batch_size=8, epochs=epochs, shuffle=False, verbose=0, callbacks=[*callbacks]
    ).history


def test_history_and_what_keras_writes_of_it(x, tmp_path):
    path, model = tmp_path / "log.csv", network()
    monitor, writers = DecorrelationMonitor(x, every=2), [keras.callbacks.CSVLogger(path)]
    if keras.backend.backend() == "tensorflow":
        pytest.importorskip("tensorboard")
        writers.append(keras.callbacks.TensorBoard(tmp_path / "logs", write_graph=False))
    history = fit(model, x, 4, monitor, *writers)
    assert [(epoch, step) for epoch, step, _ in monitor.states] == [(1, 10), (3, 20)]
    last = monitor.states[-1][2]
    assert [state.name for state in last] == ["hidden", "out"]
    assert [state.steps for state in last] == [20, 20]
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    for state in last:
        for figure in ("energy_after", "whiteness_after", "condition", "gain"):
            name = f"{figure}/{state.name}"
            values = history[name]
            assert np.isnan(values[0::2]).all()
            assert len(values) == 4
            assert values[-1] == getattr(state, figure)
            assert float(rows[-1][name]) == pytest.approx(values[-1])
            assert np.isnan(float(rows[0][name]))
    assert last == decorrelation_state(model, x)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        (file,) = (tmp_path / "logs" / "train").glob("*")
        tags = {
            (value.tag, event.step)
            for event in tf.compat.v1.train.summary_iterator(str(file))
            for value in event.summary.value
        }
        assert {("epoch_energy_after/hidden", 1), ("epoch_condition/out", 3)} <= tags
    for other in (copy.deepcopy(monitor), pickle.loads(pickle.dumps(monitor))):
        fit(model, x, 2, other)
        assert len(other.states) == 1


def test_every_so_many_steps_and_nothing_moves(x):
    runs, model = [], network()
    fit(model, x, 1)  # on PyTorch the first one draws once more
    back = rewind(model)
    monitor = DecorrelationMonitor(x, every=4, unit="step", figures=["rank_after"])
    for callbacks in ([], [monitor]):
        back()
        keras.utils.set_random_seed(2)  # dropout on PyTorch
        history = fit(model, x, 3, *callbacks)
        runs.append([ops.convert_to_numpy(v).copy() for v in model.variables])
    for a, b in zip(*runs, strict=True):
        np.testing.assert_array_equal(a, b)
    assert [step for _, step, _ in monitor.states] == [4, 8, 12]
    assert [epoch for epoch, _, _ in monitor.states] == [0, 1, 2]
    for _, step, states in monitor.states:
        assert states[0].steps == 5 + step
    assert history["rank_after/out"] == [states[1].rank_after for _, _, states in monitor.states]
    assert "condition/out" not in history


def test_errors(x):
    for name, value in (("every", 0), ("max_rows", 0), ("unit", "batch"), ("figures", ["energy"])):
        with pytest.raises(ValueError, match=f"`{name}` of DecorrelationMonitor.*Received: "):
            DecorrelationMonitor(x, **{name: value})
    plain = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])
    plain.compile("sgd", "mse", run_eagerly=True)
    with pytest.raises(ValueError, match="no decorrelating layer"):
        plain.fit(x, x[:, :1], verbose=0, callbacks=[DecorrelationMonitor(x)])
