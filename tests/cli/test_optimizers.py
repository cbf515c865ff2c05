"""Optimizers by name, and their schedules."""

import keras
import numpy as np
import pytest

from keras_decorr.cli.optimizers import LIKE_ADAM, OPTIMIZERS, make_optimizer


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_of_keras_is_made_by_its_name(name):
    optimizer = make_optimizer(name, 0.25, "constant", 10)
    assert isinstance(optimizer, keras.optimizers.Optimizer)
    assert type(optimizer).__name__.lower() == name
    assert float(optimizer.learning_rate) == 0.25


def test_the_names():
    assert {*LIKE_ADAM, "sgd", "lion"} <= set(OPTIMIZERS)
    assert "optimizer" not in OPTIMIZERS and "lossscaleoptimizer" not in OPTIMIZERS
    assert make_optimizer("sgd", 0.1, "constant", 10).momentum == 0.9


def test_a_cosine_rises_for_a_twentieth_of_the_steps_and_falls_to_zero():
    rate = make_optimizer("adamw", 0.5, "cosine", 100)._learning_rate
    found = np.array([float(rate(step)) for step in range(101)])
    np.testing.assert_allclose(found[:6], 0.5 * np.arange(1, 7) / 6, rtol=1e-5)
    falling = 0.5 * (1 + np.cos(np.pi * np.arange(96) / 95)) / 2
    np.testing.assert_allclose(found[5:], falling, atol=1e-6)


def test_a_cosine_of_very_few_steps():
    rate = make_optimizer("adam", 0.5, "cosine", 1)._learning_rate
    assert float(rate(0)) == pytest.approx(0.25)


def test_muon_leaves_the_logits_and_the_embedding_to_adamw():
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Embedding(5, 6),
            keras.layers.Dense(7, name="hidden"),
            keras.layers.Dense(7, name="attention_output"),
            keras.layers.Dense(3, name="output"),
        ]
    )
    muon = make_optimizer("muon", 1e-3, "constant", 10)
    by_muon = [v.path for v in model.trainable_variables if not muon._should_use_adamw(v)]
    assert [path.split("/")[-2:] for path in by_muon] == [
        ["hidden", "kernel"],
        ["attention_output", "kernel"],
    ]
