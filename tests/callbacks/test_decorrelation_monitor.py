"""The monitor writes what `decorrelation_state` says, where it is asked to, and moves nothing."""

import copy
import csv
import pickle
import sys

import keras
import numpy as np
import pytest
from keras import ops

import keras_decorr
from keras_decorr.callbacks import DecorrelationMonitor
from keras_decorr.layers import DecorDense
from keras_decorr.metrics import DecorrelationState, decorrelation_state


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


def test_history_csv_and_tensorboard(x, tmp_path):
    log_dir = None
    if keras.backend.backend() == "tensorflow":
        pytest.importorskip("tensorboard")
        log_dir = tmp_path / "logs"
    path, model = tmp_path / "below" / "state.csv", network()
    monitor = DecorrelationMonitor(x, every=2, path=path, log_dir=log_dir)
    history = fit(model, x, 4, monitor)
    assert [(epoch, step) for epoch, step, _ in monitor.states] == [(1, 10), (3, 20)]
    last = monitor.states[-1][2]
    assert [state.name for state in last] == ["hidden", "out"]
    assert [state.steps for state in last] == [20, 20]
    for state in last:
        for figure in ("energy_after", "whiteness_after", "condition", "gain"):
            values = history[f"{figure}/{state.name}"]
            assert np.isnan(values[0::2]).all()
            assert len(values) == 4
            assert values[-1] == getattr(state, figure)
    assert last == decorrelation_state(model, x)
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["epoch"], row["step"], row["name"]) for row in rows] == [
        ("1", "10", "hidden"), ("1", "10", "out"), ("3", "20", "hidden"), ("3", "20", "out"),
    ]  # fmt: skip
    assert set(rows[0]) == {"epoch", "step", *DecorrelationState._fields}
    assert float(rows[-1]["rank_after"]) == last[-1].rank_after
    if log_dir is not None:
        import tensorflow as tf

        (file,) = log_dir.glob("*")
        tags = {
            (value.tag, event.step)
            for event in tf.compat.v1.train.summary_iterator(str(file))
            for value in event.summary.value
        }
        assert {("energy_after/hidden", 1), ("condition/out", 3)} <= tags

    fit(model, x, 2, monitor)  # again: the file is written anew
    assert len(monitor.states) == 1
    assert len(path.read_text().splitlines()) == 3
    monitor.append = True
    for other in (copy.deepcopy(monitor), pickle.loads(pickle.dumps(monitor))):
        fit(model, x, 2, other)
        assert len(other.states) == 1
    assert len(path.read_text().splitlines()) == 7


def test_every_so_many_steps_and_nothing_moves(x):
    runs = []
    monitor = DecorrelationMonitor(x, every=4, unit="step", figures=["rank_after"])
    for callbacks in ([], [monitor]):
        model = network()
        history = fit(model, x, 3, *callbacks)
        runs.append([ops.convert_to_numpy(v) for v in model.variables])
    for a, b in zip(*runs, strict=True):
        np.testing.assert_array_equal(a, b)
    assert [step for _, step, _ in monitor.states] == [4, 8, 12]
    assert [epoch for epoch, _, _ in monitor.states] == [0, 1, 2]
    for _, step, states in monitor.states:
        assert states[0].steps == step
    assert history["rank_after/out"] == [states[1].rank_after for _, _, states in monitor.states]
    assert "condition/out" not in history


def test_errors(x, monkeypatch):
    for name, value in (("every", 0), ("max_rows", 0), ("unit", "batch"), ("figures", ["energy"])):
        with pytest.raises(ValueError, match=f"`{name}` of DecorrelationMonitor.*Received: "):
            DecorrelationMonitor(x, **{name: value})
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(ImportError, match="`log_dir` of DecorrelationMonitor needs TensorFlow"):
        DecorrelationMonitor(x, log_dir="logs")
    plain = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])
    plain.compile("sgd", "mse", run_eagerly=True)
    with pytest.raises(ValueError, match="no decorrelating layer"):
        plain.fit(x, x[:, :1], verbose=0, callbacks=[DecorrelationMonitor(x)])
