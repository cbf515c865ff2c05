"""What a rule keeps for a model."""

import numpy as np
from keras import ops

import keras_decorr
from keras_decorr.layers import DecorDense
from keras_decorr.rules.state import RuleState
from tests.rules.nets import compiled, conv_layers, data, matrices


def test_weights_pass_from_one_rule_to_another(rng, tmp_path):
    """Pre-train by one rule, go on by another: the net is the same, and each keeps its own."""
    path = tmp_path / "net.weights.h5"
    for before, after in (
        ("backprop", "node_perturbation"),
        ("backprop", "feedback_alignment"),
        ("feedback_alignment", "backprop"),
        ("node_perturbation", "backprop"),
    ):
        first = compiled(keras_decorr.Sequential(conv_layers()), before, rng)
        first.save_weights(path)
        second = compiled(keras_decorr.Sequential(conv_layers()), after)
        second.load_weights(path)
        for a, b in zip(matrices(first), matrices(second), strict=True):
            np.testing.assert_array_equal(a, b)
        x, _ = data(first, rng, 4)
        np.testing.assert_allclose(
            ops.convert_to_numpy(second(x)), ops.convert_to_numpy(first(x)), rtol=1e-5, atol=1e-6
        )


def test_a_variable_is_found_by_layer_and_key():
    layer, other = DecorDense(3, name="a"), DecorDense(3, name="b")
    state = RuleState()
    state.add(layer, "feedback", (2, 3), "ones")
    state.add(layer, 0, (4,), "zeros", trainable=True)
    assert state.of(layer).shape == (2, 3)
    assert state.of(layer, 0).shape == (4,)
    assert state.of(other) is None
    assert [v.shape for v in state.trainable_variables] == [(4,)]
