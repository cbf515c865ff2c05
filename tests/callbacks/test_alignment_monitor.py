"""The monitor shows the angle of each layer, and moves nothing."""

import copy
import pickle

import keras
import numpy as np
import pytest
from keras import ops

import keras_decorr
from keras_decorr.callbacks import AlignmentMonitor
from keras_decorr.layers import DecorConv2D, DecorDense
from keras_decorr.metrics import angle
from keras_decorr.rules import FeedbackAlignment, NodePerturbation
from keras_decorr.training import gradients
from tests.helpers import EAGERLY, rewind


def network(rule, optimizer="sgd"):
    model = keras_decorr.Sequential([
        keras.Input((6, 6, 1)),
        DecorConv2D(4, 3, activation="relu", name="conv"),
        keras.layers.Flatten(),
        DecorDense(16, activation="relu", use_bias=False, name="hidden"),
        DecorDense(3, activation="softmax", decorrelator=None, name="out"),
    ])  # fmt: skip
    model.compile(optimizer, "sparse_categorical_crossentropy", learning_rule=rule)
    return model


def data(rng, n=32):
    return rng.normal(size=(n, 6, 6, 1)).astype("float32"), rng.integers(0, 3, n).astype("int32")


def state(model):
    return [ops.convert_to_numpy(v).copy() for v in model.variables]


def test_it_stands_in_the_history_and_in_the_csv_file(rng, tmp_path):
    x, y = data(rng)
    model, path = network("feedback_alignment"), tmp_path / "log.csv"
    monitor = AlignmentMonitor(x, y, every=2)
    callbacks = [monitor, keras.callbacks.CSVLogger(path)]
    logs = model.fit(x, y, epochs=4, batch_size=16, verbose=0, callbacks=callbacks).history
    names = [f"alignment/{name}" for name in ("conv", "hidden", "out")]
    assert set(monitor.history) == {
        "epoch", *names, "alignment/conv/bias", "alignment/out/bias",
    }  # fmt: skip
    assert monitor.history["epoch"] == [1, 3]
    for name in names:
        assert np.isnan(logs[name][::2]).all()
        assert logs[name][1::2] == monitor.history[name]
        assert name in path.read_text().splitlines()[0]
    assert monitor.history["alignment/out"] == pytest.approx([0.0, 0.0], abs=1e-3)
    update, exact = gradients(model, x, y)[0], gradients(model, x, y, "backprop")[0]
    assert monitor.history["alignment/conv"][-1] == pytest.approx(angle(update, exact), abs=1e-2)
    assert monitor.history["alignment/conv"][-1] > 1.0


@pytest.mark.parametrize("rule", [FeedbackAlignment(seed=1), NodePerturbation(seed=1)])
def test_nothing_moves(rule, rng):
    x, y = data(rng)
    model = network(rule, "adam")
    back = rewind(model)

    def train(**arguments):
        back()
        model.fit(x, y, epochs=3, batch_size=16, verbose=0, shuffle=False, **arguments)
        return state(model)

    watched = train(callbacks=[AlignmentMonitor(x, y, repeats=2)])
    for a, b in zip(watched, train(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_repeats_average_the_noise(rng):
    x, y = data(rng)
    model = network(NodePerturbation(seed=1))
    found = []
    for repeats in (1, 32):
        monitor = AlignmentMonitor(x, y, repeats=repeats)
        monitor.set_model(model)
        monitor.on_train_begin()
        before = state(model)
        monitor.on_epoch_end(0, logs := {})
        for a, b in zip(state(model), before, strict=True):
            np.testing.assert_array_equal(a, b)
        found.append(logs["alignment/hidden"])
    # 79 to 89 degrees and 50 to 55, by backend.
    assert found[0] > 70
    assert found[1] < 62


def test_it_is_zero_for_backpropagation_and_falls_for_feedback_alignment():
    x, y = pytest.importorskip("sklearn.datasets").load_digits(return_X_y=True)
    x = (x / 16.0).astype("float32")
    rows = 1792 if keras.backend.backend() == "jax" else len(x)  # whole batches, compiled once

    def train(rule, rows, *epochs, **way):
        """The angles of the two hidden layers after each of so many epochs."""
        keras.utils.set_random_seed(0)
        model = keras_decorr.Sequential([
            keras.Input((64,)),
            DecorDense(64, activation="tanh", name="first"),
            DecorDense(64, activation="tanh", name="second"),
            DecorDense(10, activation="softmax", decorrelator=None),
        ])  # fmt: skip
        model.compile(
            keras.optimizers.Adam(3e-3),
            "sparse_categorical_crossentropy",
            learning_rule=rule,
            **way,
        )
        found = []
        for count in epochs:
            monitor = AlignmentMonitor(x[:256], y[:256], every=count)
            model.fit(
                x[:rows], y[:rows], epochs=count, batch_size=64, verbose=0, callbacks=[monitor]
            )
            found.append([monitor.history[f"alignment/{name}"][0] for name in ("first", "second")])
        return found

    (exact,) = train("backprop", 256, 1, **EAGERLY)
    assert max(exact) < 1e-3
    first, last = train(FeedbackAlignment(seed=0), rows, 1, 9)
    # On the three backends from 87 to 96 degrees after the first epoch to 48 to 61 after the last.
    assert min(first) > 80
    assert max(last) < 70


def test_it_can_be_copied_and_pickled(rng):
    x, y = data(rng)
    monitor, model = AlignmentMonitor(ops.convert_to_tensor(x), y), network("backprop")
    for other in (copy.deepcopy(monitor), pickle.loads(pickle.dumps(monitor))):
        model.fit(x, y, verbose=0, callbacks=[other])
        assert len(other.history["alignment/conv"]) == 1
        assert pickle.loads(pickle.dumps(other)).history == other.history
    assert monitor.history == {}


def test_errors(rng):
    x, y = data(rng)
    for name in ("every", "repeats"):
        with pytest.raises(ValueError, match=f"`{name}` of AlignmentMonitor.*Received: 0"):
            AlignmentMonitor(x, y, **{name: 0})
    plain = keras.Sequential([keras.Input((6, 6, 1)), keras.layers.Flatten(), DecorDense(3)])
    plain.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match=r"needs a keras_decorr.Model.*\(Sequential\)"):
        plain.fit(x, y, verbose=0, callbacks=[AlignmentMonitor(x, y)])
    nothing = keras_decorr.Sequential(
        [keras.Input((6, 6, 1)), keras.layers.Flatten(), keras.layers.Dense(3)]
    )
    nothing.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match="finds no trainable linear map"):
        nothing.fit(x, y, verbose=0, callbacks=[AlignmentMonitor(x, y)])
