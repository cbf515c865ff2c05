"""Arguments, rates and serialisation of the decorrelators."""

import keras
import numpy as np
import pytest

from keras_decorr import decorrelators
from keras_decorr.decorrelators import DecorrelatedBackprop
from keras_decorr.layers import Decorrelation
from tests.helpers import undamped


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"learning_rate": -1e-5}, "learning_rate"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"learning_rate": "fast"}, "learning_rate"),
        ({"sample_fraction": 0.0}, "sample_fraction"),
        ({"sample_fraction": 1.1}, "sample_fraction"),
        ({"sample_fraction": float("nan")}, "sample_fraction"),
        ({"max_samples": 0}, "max_samples"),
        ({"update_every": 0}, "update_every"),
        ({"update_every": 1.5}, "update_every"),
        ({"momentum": 1.0}, "momentum"),
        ({"structure": "banded"}, "structure"),
        ({"groups": 0}, "groups"),
        ({"rows": "columns"}, "rows"),
        ({"acts_on": "outputs"}, "acts_on"),
        ({"preserve": "mean"}, "preserve"),
    ],
)
def test_bad_arguments_are_named_with_what_was_received(arguments, named):
    with pytest.raises(ValueError, match=f"`{named}`.*Received: "):
        undamped(**arguments)


def test_bad_kappa_and_unknown_names():
    with pytest.raises(ValueError, match=r"`kappa`.*Received: 2"):
        DecorrelatedBackprop(kappa=2)
    with pytest.raises(
        ValueError, match=r"NormPreserving\(structure='monarch'\).*Received: 'monarch'"
    ):
        decorrelators.get("monarch")
    with pytest.raises(ValueError, match=r"`decorrelator`.*norm_preserving.*Received: 'pca'"):
        decorrelators.get("pca")
    with pytest.raises(ValueError, match=r"`decorrelator`.*Received: 3"):
        decorrelators.get(3)


@pytest.mark.parametrize("name", sorted(decorrelators.DECORRELATORS))
def test_strings_and_configurations_round_trip(name):
    cls = type(decorrelators.get(name))
    values = {
        "learning_rate": 3e-4, "sample_fraction": 0.5, "max_samples": None, "update_every": 2,
        "center": False, "momentum": 0.8, "structure": "full", "rows": "pixels",
        "acts_on": "gradient", "follow_optimizer": False, "damping": 0.5,
        "preserve": "nothing", "gain_rate": 0.5, "kappa": 0.2, "step_size": 0.1, "steps": 7,
        "tolerance": 1e-3, "method": "eigh", "epsilon": 0.1, "iterations": 3,
    }  # fmt: skip
    arguments = {key: values[key] for key in cls().get_config()}  # every one, none its default
    assert not [key for key, value in cls().get_config().items() if value == arguments[key]]
    decorrelator = cls(**arguments)
    assert decorrelator.get_config() == arguments
    again = decorrelators.deserialize(decorrelators.serialize(decorrelator))
    assert type(again) is type(decorrelator)
    assert again.get_config() == decorrelator.get_config()
    assert decorrelators.get(None) is None


def test_every_layer_gets_a_copy():
    shared = undamped(1e-3)
    first, second = Decorrelation(shared), Decorrelation(shared)
    for layer in (first, second):
        layer.build((None, 4))
    first.decorrelator.learning_rate = 0.5
    assert float(second.decorrelator.learning_rate) == pytest.approx(1e-3)
    assert first.get_config()["decorrelator"]["config"]["learning_rate"] == 0.5


def test_the_rate_cannot_be_set_to_nonsense_or_over_a_schedule():
    layer = Decorrelation(undamped(1e-3))
    layer.build((None, 4))
    with pytest.raises(ValueError, match="learning_rate"):
        layer.decorrelator.learning_rate = -1.0
    schedule = keras.optimizers.schedules.ExponentialDecay(1e-3, 10, 0.5)
    with pytest.raises(TypeError, match="LearningRateSchedule"):
        undamped(schedule).learning_rate = 1e-3


def test_a_schedule_counts_steps_and_is_saved(rng):
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([1], [0.5, 0.0])
    layer = Decorrelation(undamped(schedule, sample_fraction=1.0))
    x = rng.normal(size=(16, 4)).astype("float32")
    values = []
    for _ in range(4):
        layer(x, training=True)
        M = keras.ops.convert_to_numpy(layer.matrices[0])
        values.append(M / np.linalg.norm(M))  # without the gain
    assert not np.allclose(values[0], values[1])  # step 1 still has the first rate
    np.testing.assert_allclose(values[1], values[3], rtol=1e-5)
    again = Decorrelation.from_config(layer.get_config())
    again.build((None, 4))
    assert float(again.decorrelator.learning_rate) == 0.5


def test_update_every_skips_the_steps_between(rng):
    layer = Decorrelation(undamped(0.1, update_every=3, sample_fraction=1.0))
    moved = []
    for _ in range(7):
        before = None if not layer.built else keras.ops.convert_to_numpy(layer.matrices[0])
        layer(rng.normal(size=(16, 4)).astype("float32"), training=True)
        after = keras.ops.convert_to_numpy(layer.matrices[0])
        moved.append(before is None or not np.array_equal(before, after))
    assert moved == [True, False, False, True, False, False, True]
