"""Faults injected into a training: M is repaired, the run ends finite, and the guard says why."""

import copy
import pickle
from itertools import chain

import keras
import numpy as np
import pytest
from keras import ops

import keras_decorr
from keras_decorr.callbacks import DecorrelationGuard
from keras_decorr.decorrelators import ZCA, Recurrent
from keras_decorr.decorrelators.preserving import Preserving
from keras_decorr.layers import DecorDense
from keras_decorr.maths.correlation import mean_outer_product
from keras_decorr.metrics.decorrelation_state import matrix_condition
from keras_decorr.training import decorrelation_layers
from tests.helpers import prepared, rewind, undamped

BATCH, BATCHES, BAD = 8, 9, 4
PLAIN, OURS = keras.Sequential, keras_decorr.Sequential
ONE = np.zeros((1, 6), "float32"), np.zeros((1, 1), "float32")


def network(cls=OURS, rate=1e-2, dtype=None, norm=False, rule=undamped, **compiled):
    keras.utils.set_random_seed(5)
    d = rule(learning_rate=rate, structure="full", sample_fraction=1.0)
    layers = [
        keras.Input((6,)),
        DecorDense(8, activation="tanh", decorrelator=d, dtype=dtype, name="hidden"),
        *([keras.layers.BatchNormalization(dtype=dtype)] if norm else []),
        DecorDense(1, decorrelator=d, dtype=dtype, name="out"),
    ]
    model = cls(layers)
    compiled = compiled or {"jit_compile": keras.backend.backend() == "jax"}
    model.compile(keras.optimizers.Adam(1e-2), "mse", metrics=["mae"], **compiled)
    return model if "run_eagerly" in compiled else prepared(model, *ONE)


@pytest.fixture(scope="module")
def compiled():
    """A model and a guard that most tests share, a step compiled once, and what brings it back."""
    model = network()
    return model, DecorrelationGuard(), rewind(model)


@pytest.fixture
def guarded(compiled):
    """Both as if they were new."""
    model, guard, back = compiled
    back()
    guard.__dict__ |= {"every": 2, "max_restores": 10, "verbose": 0}
    return model, guard


@pytest.fixture
def data(rng):
    x = rng.normal(size=(BATCH * BATCHES, 6)) @ rng.normal(size=(6, 6))
    return x.astype("float32"), np.tanh(x[:, :1]).astype("float32")


def spoiled(data, x=None, y=None):
    """The data with one batch in the midst replaced."""
    parts = [array.copy() for array in data]
    for part, value in zip(parts, (x, y), strict=True):
        if value is not None:
            part[BAD * BATCH : (BAD + 1) * BATCH] = value
    return parts


def fit(model, data, epochs=1, **arguments):
    x, y = data
    return model.fit(
        x, y, batch_size=BATCH, epochs=epochs, shuffle=False, verbose=0, **arguments
    ).history


def state(model):
    """Everything but counters, rates and seeds."""
    counters = {id(v) for layer in decorrelation_layers(model) for v in (layer.steps, layer.rate)}
    counters |= {id(layer.skipped_updates) for layer in decorrelation_layers(model)}
    variables = [v for v in model.variables if id(v) not in counters]
    return [ops.convert_to_numpy(v) for v in (*variables, *model.optimizer.variables)]


def assert_finite(model, history):
    assert all(np.isfinite(value).all() for value in state(model))
    assert np.isfinite([history[name] for name in ("loss", "mae")]).all()


@pytest.mark.parametrize(("cls", "jit_compile"), [(PLAIN, True), (OURS, False), (OURS, True)])
def test_a_batch_that_is_not_finite(cls, jit_compile, data, capsys, backend):
    """The copy before it is restored: what follows is as if the batch had not been there."""
    if backend == "torch" and jit_compile:
        pytest.skip("PyTorch compiles with a C++ compiler of its own")
    model = network(cls, norm=True, jit_compile=jit_compile)
    guard = DecorrelationGuard(every=BAD)
    optimizer = model.optimizer
    back = rewind(model)
    clean = [np.delete(array, np.s_[BAD * BATCH : (BAD + 1) * BATCH], 0) for array in data]
    expected_history = fit(model, clean, callbacks=[guard])
    assert guard.events == []
    expected = [value.copy() for value in state(model)]
    whole = np.full((BATCH, 6), np.nan)
    one = data[0][:BATCH].copy()
    one[3, 2] = np.inf
    for bad in (spoiled(data, x=whole), spoiled(data, x=one), spoiled(data, y=np.nan)):
        back()
        history = fit(model, bad, callbacks=[guard])
        assert model.optimizer is optimizer
        of_targets = np.isnan(bad[1]).any()
        cause = "weights" if of_targets else "batch"
        assert [(e.epoch, e.step, e.cause) for e in guard.events] == [(0, BAD, cause)]
        assert "epoch 1, step 5: weights are not finite" in capsys.readouterr().out
        rates = [float(ops.convert_to_numpy(v.rate)) for v in decorrelation_layers(model)]
        if of_targets:  # M might be the cause
            assert rates == pytest.approx([1e-3, 1e-3])
            assert_finite(model, history)
            continue
        assert rates == pytest.approx([1e-2, 1e-2])
        for a, b in zip(state(model), expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
        for name in ("loss", "mae"):
            assert history[name] == pytest.approx(expected_history[name], rel=1e-4)


def test_batches_that_are_odd_but_finite(guarded, data, rng):
    model, guard = guarded
    repeated = np.repeat(data[0][:1], BATCH, axis=0)
    twins = np.repeat(rng.normal(size=(BATCH, 3)), 2, axis=1)
    for bad in (
        np.ones((BATCH, 6)),
        0.0,
        repeated,
        twins,
    ):  # constant, zero, one sample, duplicates
        history = fit(model, spoiled(data, x=bad), callbacks=[guard])
        assert_finite(model, history)
        assert guard.events == []
    x, y = data
    history = model.fit(x[:3], y[:3], batch_size=1, verbose=0, callbacks=[guard]).history
    assert_finite(model, history)
    assert guard.events == []


def test_a_batch_out_of_all_proportion(guarded, data):
    model, guard = guarded
    for size in (1e8, 1e25):
        history = fit(model, spoiled(data, x=size * data[0][:BATCH]), callbacks=[guard])
        assert_finite(model, history)
        assert max(map(matrix_condition, decorrelation_layers(model))) < 1e6
    assert int(ops.convert_to_numpy(decorrelation_layers(model)[0].skipped_updates)) > 0


@keras.saving.register_keras_serializable(package="test_decorrelation_guard")
class Overshooting(Preserving):
    """The norm-preserving rule without a bound on its rate."""

    def step(self, stage, eta):
        C = mean_outer_product(stage.U, stage.U, stage.row_axis)
        return (self.gain(stage) * (stage.M - eta * ops.matmul(C, stage.M)),)


def test_a_rate_1000_times_too_large(data, capsys):
    """Of a rule that overshoots; NormPreserving lowers such a rate."""

    def condition():
        return max(map(matrix_condition, decorrelation_layers(model)))

    model, guard = network(rule=Overshooting), DecorrelationGuard()
    guard.every, back = 2, rewind(model)
    model.decorrelation_rate = 10.0
    fit(model, data, epochs=3)
    assert not condition() < 1e6
    back()
    model.decorrelation_rate = 10.0
    history = fit(model, data, epochs=4, callbacks=[guard])
    assert_finite(model, history)
    assert condition() < 1e6
    assert history["loss"][-1] < history["loss"][0]
    assert {event.cause for event in guard.events} == {"matrix"}
    assert "hidden" in {name for event in guard.events for name in event.layers}
    out = capsys.readouterr().out
    assert "M of 'hidden' " in out
    assert "Decorrelation rate now 1.0e+00" in out
    assert float(ops.convert_to_numpy(model.decorrelation_rate)) <= 1.0


class BreakMatrix(keras.callbacks.Callback):
    value = None

    def on_train_batch_end(self, batch, logs=None):
        if batch == BAD:
            M = decorrelation_layers(self.model)[0].matrices[0]
            broken = ops.convert_to_numpy(M).copy()
            if self.value is None:
                broken[..., 0, :] = 0.0
            else:
                broken *= self.value
            M.assign(broken)


@pytest.mark.parametrize("rule", [ZCA, Recurrent])
def test_other_rules_are_repaired_with_what_they_remember(rule, data):
    model, guard = network(rule=rule), DecorrelationGuard(every=1, verbose=0)
    batch = data[0][:BATCH].copy()
    batch[:, 2] *= 1e8
    history = fit(model, spoiled(data, x=batch), callbacks=[guard])
    assert_finite(model, history)
    # The rule may leave M as it was (ZCA: the large variance is 1 again) or be taken back, once.
    assert [event.cause for event in guard.events] in ([], ["matrix"])
    covariances = [v for layer in decorrelation_layers(model) for v in chain(*layer.memory)]
    assert all(np.abs(ops.convert_to_numpy(v)).max() < 1e6 for v in covariances)


def test_a_gradient_that_is_accumulated_is_no_failure(data):
    model, guard = network(), DecorrelationGuard(every=2, verbose=0)
    model.compile(keras.optimizers.Adam(1e-2, gradient_accumulation_steps=3), "mse")
    model.fit(*data, batch_size=BATCH, verbose=0, callbacks=[guard])
    assert guard.events == []
    x, _ = spoiled(data, x=np.nan)
    model.fit(x, data[1], batch_size=BATCH, verbose=0, shuffle=False, callbacks=[guard])
    assert {event.cause for event in guard.events} == {"batch"}
    assert all(np.isfinite(value).all() for value in state(model))


def test_m_does_not_go_back_to_one_that_nearly_failed(guarded, data):
    model, guard = guarded
    guard.every, kept = 1, []

    class NearlyThenFully(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            M = decorrelation_layers(self.model)[0].matrices[0]
            if batch == BAD - 1:
                kept.append(ops.convert_to_numpy(M).copy())
            elif batch == BAD:  # half of the largest gain that M may have
                M.assign(kept[0] * (guard.max_gain / 2.0 / np.linalg.norm(kept[0], 2)))
            elif batch == BAD + 1:
                M.assign(kept[0] * np.nan)

    class Look(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            M = decorrelation_layers(self.model)[0].matrices[0]
            if batch == BAD + 1:
                kept.append(ops.convert_to_numpy(M).copy())

    fit(model, data, callbacks=[NearlyThenFully(), guard, Look()])
    np.testing.assert_array_equal(*kept)
    assert [event.cause for event in guard.events] == ["matrix"]


def test_every_failure_of_m(guarded, data):
    model, guard = guarded
    guard.every, broken = 1, BreakMatrix()
    for broken.value, says in (
        (np.nan, "has diverged: it holds NaN"),
        (0.0, "vanishes: its gain is down to 0"),
        (1e9, "has diverged: its gain explodes to 1"),
        (None, "is singular: its condition number is"),
    ):
        rate = float(ops.convert_to_numpy(model.decorrelation_rate))
        history = fit(model, data, callbacks=[broken, guard])
        assert_finite(model, history)
        assert matrix_condition(decorrelation_layers(model)[0]) < 1e4
        (event,) = guard.events
        assert (event.step, event.cause, event.layers) == (BAD, "matrix", ("hidden",))
        assert f"M of 'hidden' {says}" in event.message
        assert float(ops.convert_to_numpy(model.decorrelation_rate)) == pytest.approx(0.1 * rate)


class BreakWeights(keras.callbacks.Callback):
    def __init__(self, value):
        super().__init__()
        self.value = value

    def on_train_batch_end(self, batch, logs=None):
        if batch == BAD:
            self.model.get_layer("out").kernel.assign(np.full((8, 1), self.value, "float32"))


def test_weights_that_are_not_finite_go_back(guarded, data):
    model, guard = guarded
    history = fit(model, data, callbacks=[BreakWeights(np.nan), guard])
    assert_finite(model, history)
    assert guard.events[0].cause == "weights"
    assert (
        "weights are not finite. The last good weights, optimizer and M" in guard.events[0].message
    )
    assert "rate now 1.0e-03" in guard.events[0].message


def test_weights_that_are_finite_but_lost_go_back(guarded, data):
    """The loss overflows, and with it the weights at the next step."""
    model, guard = guarded
    history = fit(model, data, epochs=2, callbacks=[BreakWeights(1e30), guard])
    assert all(np.isfinite(value).all() for value in state(model))
    assert {event.cause for event in guard.events} == {"weights"}
    assert np.isfinite(history["loss"][0])


def test_an_optimizer_that_was_never_built_goes_back_to_its_start(data):
    model = network(run_eagerly=True)
    assert not model.optimizer.built
    guard = DecorrelationGuard(every=2, verbose=0)

    class Break(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 0:  # the moments of the first step, too
                for v in self.model.optimizer.variables:
                    if len(v.shape) > 0:
                        v.assign(np.full(v.shape, np.inf))

    history = fit(model, data, callbacks=[Break(), guard])
    assert [event.cause for event in guard.events] == ["weights"]
    assert_finite(model, history)


def test_it_gives_up_where_nothing_helps(guarded, data):
    model, guard = guarded
    guard.every, guard.max_restores = 1, 3
    history = fit(model, [data[0] * np.nan, data[1]], epochs=5, callbacks=[guard])
    assert len(history["loss"]) == 1
    assert [event.cause for event in guard.events][:4] == ["batch"] * 3 + ["limit"]
    assert "3 restorations without a good check" in guard.events[3].message
    assert all(np.isfinite(value).all() for value in state(model))

    class AlwaysBreak(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            M = decorrelation_layers(self.model)[0].matrices[0]
            M.assign(np.zeros(M.shape))

    for guard.max_restores in (1, 3):
        history = fit(model, data, epochs=5, callbacks=[AlwaysBreak(), guard])
        expected = ["matrix"] * guard.max_restores + ["limit"]
        assert [event.cause for event in guard.events][: len(expected)] == expected
        assert guard.events[-1].message.endswith("Training stops.")
        assert len(history["loss"]) == 1


def test_an_optimizer_that_skips_steps_leaves_nothing_to_repair(data):
    """As the docstring advises for data that hold NaN."""
    model = network()
    optimizer = keras.optimizers.LossScaleOptimizer(
        keras.optimizers.Adam(1e-2), initial_scale=1.0, dynamic_growth_steps=2**31 - 2
    )
    model.compile(optimizer, "mse", metrics=["mae"])
    prepared(model, *ONE)
    guard = DecorrelationGuard(every=2, verbose=0)
    history = fit(model, spoiled(data, x=np.nan), callbacks=[guard])
    assert guard.events == []
    assert_finite(model, history)
    assert int(ops.convert_to_numpy(optimizer.inner_optimizer.iterations)) == BATCHES - 1


def test_float16_overflow(data):
    model = network(dtype="mixed_float16")
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(1e-2), initial_scale=8.0)
    model.compile(optimizer, "mse", metrics=["mae"])
    prepared(model, *ONE)
    guard = DecorrelationGuard(every=2, verbose=0)
    # 7e4 is no float16.
    history = fit(model, spoiled(data, x=7e4), epochs=2, callbacks=[guard])
    assert_finite(model, history)
    assert model.optimizer is optimizer
    assert guard.events == []
    assert float(ops.convert_to_numpy(optimizer.dynamic_scale)) == 2.0


def test_training_is_the_same_with_it(data):
    runs, model = [], network(norm=True)
    back = rewind(model)
    for callbacks in ([], [DecorrelationGuard(every=2)]):
        back()
        history = fit(model, data, epochs=2, callbacks=callbacks, validation_data=data)
        runs.append((state(model), history))
    for a, b in zip(runs[0][0], runs[1][0], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)
    for name, value in runs[0][1].items():
        assert runs[1][1][name] == pytest.approx(value, rel=1e-5)


def test_validation_sees_no_nan_of_the_last_batch(data):
    model = network(PLAIN, norm=True)
    x, y = (array.copy() for array in data)
    x[-BATCH:] = np.nan
    guard = DecorrelationGuard(every=2, verbose=0)
    history = fit(model, (x, y), callbacks=[guard], validation_data=data)
    assert_finite(model, history)
    assert np.isfinite(history["val_loss"]).all()


def test_again_copied_pickled_and_with_what_was_not_built(data):
    guard = DecorrelationGuard(every=2, verbose=0)
    model = network()
    bad = spoiled(data, x=np.nan)
    for _ in range(2):
        fit(model, bad, callbacks=[guard])
        assert len(guard.events) == 1
    model.compile("sgd", "mae", metrics=["mae"])
    prepared(model, *ONE)
    assert fit(model, bad, callbacks=[guard])["loss"] == pytest.approx(
        model.evaluate(*data, verbose=0)[:1], rel=0.5
    )
    for other in (copy.deepcopy(guard), pickle.loads(pickle.dumps(guard))):
        assert other.events == guard.events
        fit(network(), bad, callbacks=[other])
        assert len(other.events) == 1
    subclassed = OURS([DecorDense(4, name="hidden"), DecorDense(1, name="out")])
    subclassed.compile("adam", "mse", metrics=["mae"])
    assert_finite(subclassed, fit(subclassed, bad, callbacks=[guard]))
    assert [event.step for event in guard.events] == [BAD]


def test_a_first_batch_that_is_bad_and_builds_the_model(data, tensorflow_only):
    """On the other backends Keras builds the model before the first step."""
    model = OURS([DecorDense(4), DecorDense(1)])
    model.compile("adam", "mse", metrics=["mae"])
    x, y = (array.copy() for array in data)
    x[:BATCH] = np.nan
    guard = DecorrelationGuard(verbose=0)
    fit(model, (x, y), epochs=3, callbacks=[guard])
    assert guard.events[0][:3] == (0, 0, "limit")
    assert "there is no good state to restore" in guard.events[0].message


def test_several_steps_per_execution(data, backend):
    if backend == "torch":
        pytest.skip("Keras executes one step at a time on PyTorch")
    model, guard = network(steps_per_execution=2), DecorrelationGuard(every=2, verbose=0)
    assert_finite(model, fit(model, spoiled(data, x=np.nan), callbacks=[guard]))
    assert [(event.step, event.cause) for event in guard.events] == [(BAD + 1, "batch")]


def test_a_checkpoint_that_another_callback_loads_is_the_first_good_state(data, tmp_path):
    weights = str(tmp_path / "model.weights.h5")

    class Load(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.model.load_weights(weights)

    model, guard = network(), DecorrelationGuard(verbose=0)
    save = keras.callbacks.ModelCheckpoint(weights, save_weights_only=True)
    fit(model, data, callbacks=[guard, save])
    model.optimizer.iterations.assign(100)
    x, y = (array.copy() for array in data)
    x[:BATCH] = np.nan
    fit(model, (x, y), callbacks=[guard, Load()])
    assert [event.cause for event in guard.events] == ["batch"]
    # The first step of the second fit was taken back.
    assert int(ops.convert_to_numpy(model.optimizer.iterations)) == 2 * BATCHES - 1


def test_errors(data):
    for name, value in (
        ("every", 0), ("factor", 0.0), ("factor", 1.0), ("factor", 2.0),
        ("max_condition", 1.0), ("max_gain", 0.5), ("max_restores", 0),
    ):  # fmt: skip
        with pytest.raises(
            ValueError, match=f"`{name}` of DecorrelationGuard.*Received: {value!r}"
        ):
            DecorrelationGuard(**{name: value})
    plain = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])
    plain.compile("sgd", "mse", run_eagerly=True)
    with pytest.raises(ValueError, match="finds no decorrelating layer"):
        plain.fit(*data, verbose=0, callbacks=[DecorrelationGuard()])
    model = network()
    model.get_layer("out").kernel.assign(np.full((8, 1), np.nan))
    with pytest.raises(ValueError, match=r"needs finite weights at the start.*out.*kernel"):
        fit(model, data, callbacks=[DecorrelationGuard()])
