"""Layers of own classes that compute something else once folded."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_decorr import fold
from tests.conversion.nets import decorrelate, disturb, round_trip


@pytest.fixture
def x(rng):
    return rng.normal(size=(4, 6)).astype("float32")


class Tied(layers.Layer):
    """Uses a kernel beside the layer that has it."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.a, self.b = layers.Dense(3, name="a"), layers.Dense(6, name="b")

    def call(self, x):
        return keras.ops.tanh(self.a(x)) @ keras.ops.transpose(self.a.kernel) + self.b(x)


def test_a_kernel_that_is_used_by_the_class_itself(x, rng):
    i = keras.Input((6,))
    model = keras.Model(i, layers.Dense(2)(Tied(name="tied")(i)))
    decorrelated = decorrelate(model)
    disturb(decorrelated, rng)
    before = [np.array(v) for v in map(keras.ops.convert_to_numpy, decorrelated.variables)]
    with pytest.raises(ValueError, match=r"Tied 'tied' has other outputs .*exclude=.*Received: <"):
        fold(decorrelated)
    for variable, value in zip(decorrelated.variables, before, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), value)
    round_trip(model, x, rng, exclude="tied/a")


class Noisy(layers.Layer):
    """Has other outputs at every call, in inference, too."""

    def __init__(self, seeded, **kwargs):
        super().__init__(**kwargs)
        self.seeded, self.dense = seeded, layers.Dense(3)
        self.seed = keras.random.SeedGenerator(1)

    def call(self, x):
        if self.seeded:
            return self.dense(x) + keras.random.normal((1, 3), seed=self.seed)
        return self.dense(x) + float(np.random.normal())

    def get_config(self):
        return {**super().get_config(), "seeded": self.seeded}


@pytest.mark.parametrize("seeded", [True, False])
def test_outputs_by_chance_are_no_reason_against_folding(seeded, rng):
    model = keras.Sequential([keras.Input((6,)), Noisy(seeded)])
    decorrelated = decorrelate(model)
    disturb(decorrelated, rng)
    assert type(fold(decorrelated).layers[0].dense) is layers.Dense
