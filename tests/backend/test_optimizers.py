"""The learning rate of an optimizer at a step."""

import keras
import pytest

from keras_decorr.backend.optimizers import learning_rate_at

HALVED = {"initial_learning_rate": 0.4, "decay_steps": 1, "decay_rate": 0.5}


@pytest.mark.parametrize("wrap", [lambda o: o, keras.optimizers.LossScaleOptimizer])
def test_of_a_schedule_and_of_a_variable(wrap):
    schedule = keras.optimizers.schedules.ExponentialDecay(**HALVED)
    scheduled, constant = (wrap(keras.optimizers.SGD(rate)) for rate in (schedule, 0.4))
    assert [learning_rate_at(scheduled, step) for step in (0, 1, 2)] == pytest.approx(
        [0.4, 0.2, 0.1]
    )
    assert learning_rate_at(constant, 7) == pytest.approx(0.4)
    constant.learning_rate = 0.1
    assert learning_rate_at(constant, 7) == pytest.approx(0.1)
