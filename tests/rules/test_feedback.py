"""How feedback weights are drawn."""

import itertools

import keras
import numpy as np
import pytest

from keras_decorr.rules.feedback import FeedbackWeights


def drawn(weights, count=2, shape=(4, 3)):
    return [
        keras.ops.convert_to_numpy(initializer(shape, dtype="float32"))
        for initializer in itertools.islice(weights.initializers(), count)
    ]


def test_every_variable_has_a_seed_of_its_own_and_the_seed_repeats_all():
    first, second = drawn(FeedbackWeights("Owner", "he_uniform", 1.0, 3))
    assert not np.array_equal(first, second)
    for a, b in zip(
        drawn(FeedbackWeights("Owner", "he_uniform", 1.0, 3)), (first, second), strict=True
    ):
        np.testing.assert_array_equal(a, b)
    scaled, _ = drawn(FeedbackWeights("Owner", "he_uniform", 2.5, 3))
    np.testing.assert_allclose(scaled, 2.5 * first, rtol=1e-6)


def test_an_initializer_without_a_seed():
    for values in drawn(FeedbackWeights("Owner", "ones", 0.5, None)):
        np.testing.assert_array_equal(values, np.full((4, 3), 0.5))


def test_the_arguments_come_back_and_are_checked():
    config = FeedbackWeights("Owner", "he_uniform", 2.0, 7).get_config()
    assert (config["feedback_scale"], config["seed"]) == (2.0, 7)
    assert FeedbackWeights("Owner", *config.values()).get_config() == config
    with pytest.raises(ValueError, match=r"`feedback_initializer` of Owner.*Received: 'no_such'"):
        FeedbackWeights("Owner", "no_such", 1.0, None)
    with pytest.raises(ValueError, match=r"`feedback_scale` of Owner.*Received: 0"):
        FeedbackWeights("Owner", "ones", 0, None)
