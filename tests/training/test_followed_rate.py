"""The rate of M follows the learning rate of the optimizer."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_decorr
from keras_decorr.layers import DecorDense
from keras_decorr.training.followed_rate import FollowedRate
from tests.helpers import undamped

RATE = 0.1
SCHEDULE = {"initial_learning_rate": 0.0, "decay_steps": 8, "warmup_target": 0.5, "warmup_steps": 4}


def net(rate=RATE, base=keras_decorr.Sequential, **arguments):
    decorrelator = undamped(rate, **arguments)
    return base([keras.Input((4,)), DecorDense(2, decorrelator=decorrelator)])


def optimizer():
    return keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(**SCHEDULE))


def expected(steps):
    """Learning rates over the highest one so far, written from their definition in float64."""
    rates = []
    for step in range(steps):
        if step < 4:
            rates.append(0.5 * step / 4)
        else:
            rates.append(0.25 * (1 + np.cos(np.pi * min((step - 4) / 8, 1))))
    highest = np.maximum.accumulate(rates)
    return np.where(highest > 0, rates / np.maximum(highest, 1e-30), 1.0)


class Rates(keras.callbacks.Callback):
    """The rate of M in each step, as the logs of the batches have it."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(logs["decorrelation_rate"])


def fit(model, steps, **arguments):
    x, rates = np.random.default_rng(0).normal(size=(8 * steps, 4)).astype("float32"), Rates()
    callbacks = [*arguments.pop("callbacks", ()), rates]
    history = model.fit(
        x, x[:, :2], batch_size=8, verbose=0, shuffle=False, callbacks=callbacks, **arguments
    )
    return rates.seen, history.history


def test_a_schedule_with_warm_up():
    model = net()
    model.compile(optimizer(), "mse")
    seen, logs = fit(model, 12)
    np.testing.assert_allclose(seen, RATE * expected(12), rtol=1e-5)
    np.testing.assert_allclose(logs["decorrelation_rate"], seen[-1:], rtol=1e-6)
    (state,) = keras_decorr.metrics.decorrelation_state(model, np.ones((4, 4), "float32"))
    np.testing.assert_allclose(state.rate, seen[-1], rtol=1e-6)
    assert float(ops.convert_to_numpy(model.decorrelation_rate)) == pytest.approx(RATE)


@keras.saving.register_keras_serializable(package="test_followed_rate")
class Own(keras.optimizers.schedules.LearningRateSchedule):
    def __call__(self, step):
        return RATE * ops.take(ops.convert_to_tensor(expected(12), "float32"), step)

    def get_config(self):
        return {}


def test_m_takes_the_followed_rate():
    """The same M as with the factor in a schedule of its own."""

    found = []
    for rate in (RATE, Own()):
        keras.utils.set_random_seed(0)
        model = net(rate)
        model.compile(optimizer(), "mse")
        fit(model, 12)
        found.append(ops.convert_to_numpy(model.decorrelation_layers[0].matrices[0]))
    np.testing.assert_allclose(*found, rtol=1e-5, atol=1e-6)
    assert np.abs(found[0] - np.eye(2)).max() > 0.01


@pytest.mark.parametrize("arguments", [{"follow_optimizer": False}, {}])
def test_callbacks_that_set_the_learning_rate(arguments):
    model = net(**arguments)
    model.compile(keras.optimizers.SGD(0.4), "mse")
    halved = keras.callbacks.LearningRateScheduler(lambda epoch: 0.4 * 0.5**epoch)
    _, logs = fit(model, 2, epochs=3, callbacks=[halved])
    factors = [1.0, 1.0, 1.0] if arguments else [1.0, 0.5, 0.25]
    np.testing.assert_allclose(logs["decorrelation_rate"], RATE * np.array(factors), rtol=1e-5)


def test_a_schedule_of_its_own_does_not_follow():
    model = net(keras.optimizers.schedules.PiecewiseConstantDecay([1000], [RATE, 0.0]))
    model.compile(optimizer(), "mse")
    seen, _ = fit(model, 8)
    np.testing.assert_allclose(seen, RATE, rtol=1e-6)


def test_a_saved_model_knows_the_highest_rate(tmp_path):
    model = net()
    model.compile(optimizer(), "mse")
    fit(model, 6)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    seen, _ = fit(loaded, 3)
    np.testing.assert_allclose(seen, RATE * expected(9)[6:], rtol=1e-5)
    model.save_weights(tmp_path / "model.weights.h5")
    again = net()
    again.compile(optimizer(), "mse")
    again.build((None, 4))
    again.optimizer.build(again.trainable_variables)
    again.load_weights(tmp_path / "model.weights.h5")
    seen, _ = fit(again, 3)
    np.testing.assert_allclose(seen, RATE * expected(9)[6:], rtol=1e-5)


def test_compiling_again_starts_anew():
    model = net()
    for rate in (0.5, 0.01):
        model.compile(keras.optimizers.SGD(rate), "mse")
        seen, _ = fit(model, 2)
        np.testing.assert_allclose(seen, RATE, rtol=1e-6)


def test_the_logs_outlive_the_next_step():
    """On JAX a step deletes the tensors of the variables that it changes."""
    model = net()
    model.compile(optimizer(), "mse")
    _, first = fit(model, 2)
    fit(model, 2)
    assert np.isfinite(float(first["decorrelation_rate"][0]))


def test_evaluation_does_not_show_it():
    model = net()
    model.compile(optimizer(), "mse")
    x = np.ones((8, 4), "float32")
    assert "decorrelation_rate" not in model.evaluate(x, x[:, :2], return_dict=True, verbose=0)


def test_a_learning_rate_of_zero_from_the_start():
    followed = FollowedRate()
    factors = [float(ops.convert_to_numpy(followed.factor(rate))) for rate in (0.0, 0.2, 0.0, 0.1)]
    np.testing.assert_allclose(factors, [1.0, 1.0, 0.0, 0.5])
    followed.reset_state()
    assert float(ops.convert_to_numpy(followed.factor(0.1))) == pytest.approx(0.5)
    followed.restart()
    assert float(ops.convert_to_numpy(followed.factor(0.1))) == 1.0
