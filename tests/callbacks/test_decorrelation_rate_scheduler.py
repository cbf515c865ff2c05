"""The rate that each step sees."""

import copy
import pickle

import keras
import numpy as np
import pytest
from keras import ops

import keras_decorr
from keras_decorr.callbacks import DecorrelationRateScheduler
from keras_decorr.layers import DecorDense
from keras_decorr.training import decorrelation_layers
from tests.helpers import EAGERLY, undamped


@pytest.fixture(scope="module")
def model():
    """Two layers with rates of their own."""
    model = keras.Sequential([
        keras.Input((4,)),
        DecorDense(3, decorrelator=undamped(0.1, structure="full"), name="a"),
        DecorDense(1, decorrelator=undamped(0.2, structure="full"), name="b"),
    ])  # fmt: skip
    model.compile("sgd", "mse")
    model.optimizer.build(model.trainable_variables)
    return model


class Seen(keras.callbacks.Callback):
    """The rates of the two layers at every step."""

    def on_train_begin(self, logs=None):
        self.rates = []

    def on_train_batch_begin(self, batch, logs=None):
        self.rates.append(
            tuple(
                round(float(ops.convert_to_numpy(layer.decorrelator.learning_rate)), 6)
                for layer in decorrelation_layers(self.model)
            )
        )


def fit(model, scheduler, epochs=2, fresh=True, before=()):
    if fresh:
        model.optimizer.iterations.assign(0)
        for layer, rate in zip(decorrelation_layers(model), (0.1, 0.2), strict=True):
            layer.decorrelator.learning_rate = rate
            layer.matrices[0].assign(np.eye(*layer.matrices[0].shape))
    x, seen = np.random.default_rng(0).normal(size=(24, 4)).astype("float32"), Seen()
    callbacks = [*before, scheduler, seen]
    history = model.fit(x, x[:, :1], batch_size=8, epochs=epochs, verbose=0, callbacks=callbacks)
    return seen.rates, history.history["decorrelation_rate"]


def test_function_of_the_epoch(model, capsys):
    scheduler = DecorrelationRateScheduler(lambda epoch: 1.0 / (epoch + 1), verbose=1)
    rates, logged = fit(model, scheduler)
    assert rates == [(1.0, 1.0)] * 3 + [(0.5, 0.5)] * 3
    assert logged == [1.0, 0.5]
    assert "Epoch 2: DecorrelationRateScheduler, rate 0.5" in capsys.readouterr().out


def test_function_of_the_epoch_and_the_rate(model):
    rates, _ = fit(model, DecorrelationRateScheduler(lambda epoch, rate: rate * 0.5))
    assert rates == [(0.05, 0.1)] * 3 + [(0.025, 0.05)] * 3


def test_it_reaches_the_step(model):
    """A rate of 0 moves nothing but the gain."""
    M = decorrelation_layers(model)[0].matrices[0]
    for rate in (0.0, 0.1):
        fit(model, DecorrelationRateScheduler(lambda epoch, rate=rate: rate))
        moved = ops.convert_to_numpy(M)
        assert np.array_equal(moved, np.diag(np.diag(moved))) == (rate == 0.0)


def test_keras_schedule_by_step_with_warm_up(model):
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([3], [0.4, 0.2])
    rates, _ = fit(model, DecorrelationRateScheduler(schedule, warmup_steps=2))
    assert [a for a, _ in rates] == [0.0, 0.2, 0.4, 0.4, 0.2, 0.2]
    assert all(a == b for a, b in rates)


def test_warm_up_alone_goes_on_in_the_next_fit(model):
    scheduler = DecorrelationRateScheduler(warmup_steps=4)
    first, _ = fit(model, scheduler, epochs=1)
    second, _ = fit(model, scheduler, fresh=False)
    assert first + second == [
        (0.0, 0.0), (0.025, 0.05), (0.05, 0.1), (0.075, 0.15), *[(0.1, 0.2)] * 5,
    ]  # fmt: skip


def test_layers_of_one_path():
    def half(name):
        inputs = keras.Input((4,))
        return keras.Model(inputs, DecorDense(2, name="hidden")(inputs), name=name)

    inputs = keras.Input((4,))
    outputs = keras.layers.Add()([half("left")(inputs), half("right")(inputs)])
    model = keras_decorr.Model(inputs, keras.layers.Dense(1)(outputs))
    model.compile("sgd", "mse", **EAGERLY)
    assert len({layer.path for layer in decorrelation_layers(model)}) == 1
    rates, _ = fit(model, DecorrelationRateScheduler(lambda epoch: 0.5**epoch), 3, fresh=False)
    assert rates[::3] == [(1.0, 1.0), (0.5, 0.5), (0.25, 0.25)]


def test_steps_that_accumulate_a_gradient_count():
    model = keras_decorr.Sequential([keras.Input((4,)), DecorDense(1, decorrelator=undamped(0.8))])
    model.compile(keras.optimizers.SGD(gradient_accumulation_steps=4), "mse", **EAGERLY)
    rates, _ = fit(model, DecorrelationRateScheduler(warmup_steps=8), epochs=3, fresh=False)
    assert [rate for (rate,) in rates] == pytest.approx([0.1 * step for step in (*range(9),)])


def test_restored_weights_are_no_change_of_the_rate(model):
    scheduler = DecorrelationRateScheduler(halved)
    before = model.get_weights()
    first, _ = fit(model, scheduler, epochs=3)
    model.set_weights(before)
    assert fit(model, scheduler, epochs=3, fresh=False)[0] == first
    warm = DecorrelationRateScheduler(warmup_steps=3)
    fit(model, warm, epochs=2)
    model.set_weights(before)
    assert fit(model, warm, fresh=False)[0] == [(0.1, 0.2)] * 6


def test_without_a_schedule_the_rates_of_the_next_fit_stay_or_are_those_set_by_hand(model):
    class Lower(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 0:
                decorrelation_layers(self.model)[1].decorrelator.scale_rate(0.5)

    scheduler = DecorrelationRateScheduler(warmup_steps=2)
    fit(model, scheduler, epochs=2, before=[Lower()])
    assert fit(model, scheduler, fresh=False)[0] == [(0.1, 0.1)] * 6
    decorrelation_layers(model)[0].decorrelator.learning_rate = 0.3
    assert fit(model, scheduler, fresh=False)[0] == [(0.3, 0.1)] * 6


def test_a_new_callback_goes_on_with_a_warm_up_from_rates_that_were_set(model):
    fit(model, DecorrelationRateScheduler(warmup_steps=6), epochs=1)
    for layer, rate in zip(decorrelation_layers(model), (0.1, 0.2), strict=True):
        layer.decorrelator.learning_rate = rate
    rates, _ = fit(model, DecorrelationRateScheduler(warmup_steps=6), epochs=1, fresh=False)
    assert rates == [(0.05, 0.1), (0.066667, 0.133333), (0.083333, 0.166667)]


def test_weights_loaded_into_a_new_model_go_on_with_a_warm_up(tmp_path):
    def build():
        decorrelator = undamped(0.6, structure="full")
        model = keras_decorr.Sequential(
            [keras.Input((4,)), DecorDense(1, decorrelator=decorrelator)]
        )
        model.compile("sgd", "mse", **EAGERLY)
        model.optimizer.build(model.trainable_variables)
        return model

    first, second = build(), build()
    fit(first, DecorrelationRateScheduler(warmup_steps=6), epochs=1, fresh=False)
    first.save_weights(tmp_path / "w.weights.h5")
    second.load_weights(tmp_path / "w.weights.h5")
    rates, _ = fit(second, DecorrelationRateScheduler(warmup_steps=6), epochs=1, fresh=False)
    assert [rate for (rate,) in rates] == pytest.approx([0.3, 0.4, 0.5])


def test_what_another_callback_lowers_stays_lowered(model):
    class Lower(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            decorrelation_layers(self.model)[1].decorrelator.scale_rate(0.1)

    scheduler = DecorrelationRateScheduler(lambda epoch: 1.0 / (epoch + 1))
    rates, _ = fit(model, scheduler, epochs=3, before=[Lower()])
    assert rates[::3] == [(1.0, 1.0), (0.5, 0.05), (round(1 / 3, 6), round(1 / 300, 6))]


def test_a_schedule_of_the_layer_can_be_lowered():
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([1], [0.4, 0.2])
    layer = DecorDense(1, decorrelator=undamped(schedule))
    layer.build((None, 4))
    layer.decorrelator.scale_rate(0.5)
    assert float(layer.decorrelator.learning_rate) == pytest.approx(0.2)
    layer.decorrelation.steps.assign(2)
    assert float(layer.decorrelator.learning_rate) == pytest.approx(0.1)
    with pytest.raises(ValueError, match=r"`factor` of NormPreserving.*Received: -1"):
        layer.decorrelator.scale_rate(-1)


def halved(epoch):
    return 0.5**epoch


def test_copies(model):
    scheduler = DecorrelationRateScheduler(halved)
    fit(model, scheduler, epochs=1)
    for other in (copy.deepcopy(scheduler), pickle.loads(pickle.dumps(scheduler))):
        rates, _ = fit(model, other)
        assert rates[::3] == [(1.0, 1.0), (0.5, 0.5)]


def test_errors(model):
    with pytest.raises(
        ValueError, match=r"`schedule` of DecorrelationRateScheduler.*Received: 0.1"
    ):
        DecorrelationRateScheduler(0.1)
    with pytest.raises(ValueError, match="nothing to do"):
        DecorrelationRateScheduler()
    with pytest.raises(ValueError, match=r"`warmup_steps` of.*Received: -1"):
        DecorrelationRateScheduler(warmup_steps=-1)
    for wrong in (-1.0, "fast", None, np.nan):
        with pytest.raises(ValueError, match=r"`schedule` of DecorrelationRateScheduler.*Received"):
            fit(model, DecorrelationRateScheduler(lambda epoch, wrong=wrong: wrong))
    scheduled = keras_decorr.Sequential([
        keras.Input((4,)),
        DecorDense(
            1, decorrelator=undamped(keras.optimizers.schedules.ExponentialDecay(0.1, 5, 0.5))
        ),
    ])  # fmt: skip
    scheduled.compile("sgd", "mse", **EAGERLY)
    with pytest.raises(ValueError, match="follows a LearningRateSchedule of its own"):
        scheduled.fit(
            np.ones((4, 4)), np.ones(4), verbose=0, callbacks=[DecorrelationRateScheduler(halved)]
        )


def cosine():
    return keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.5, 6))


def test_a_plain_keras_model_follows_the_optimizer_by_it():
    """A new callback that resumes knows the highest learning rate of a schedule."""
    model = keras.Sequential([keras.Input((4,)), DecorDense(1, decorrelator=undamped(0.1))])
    model.compile(cosine(), "mse")
    found = []
    for _ in range(2):
        x, seen = np.random.default_rng(0).normal(size=(24, 4)).astype("float32"), SeenOfOne()
        callbacks = [DecorrelationRateScheduler("optimizer"), seen]
        model.fit(x, x[:, :1], batch_size=8, verbose=0, callbacks=callbacks)
        found += seen.rates
        decorrelation_layers(model)[0].decorrelator.learning_rate = 0.1
    expected = 0.1 * 0.5 * (1 + np.cos(np.pi * np.arange(6) / 6))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


class SeenOfOne(Seen):
    def on_train_batch_begin(self, batch, logs=None):
        (layer,) = decorrelation_layers(self.model)
        self.rates.append(float(ops.convert_to_numpy(layer.decorrelator.learning_rate)))


def test_a_model_that_follows_by_itself_refuses_it():
    model = keras_decorr.Sequential([keras.Input((4,)), DecorDense(1)])
    model.compile(cosine(), "mse")
    x = np.ones((8, 4), "float32")
    with pytest.raises(ValueError, match="follows that of the optimizer without"):
        model.fit(x, x[:, :1], verbose=0, callbacks=[DecorrelationRateScheduler("optimizer")])
