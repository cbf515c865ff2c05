"""Feedback alignment: the equations, its kinds of feedback, what it refuses."""

from functools import partial

import keras
import numpy as np
import pytest

import keras_decorr
from keras_decorr.layers import DecorDense
from keras_decorr.rules import DirectFeedbackAlignment, FeedbackAlignment
from keras_decorr.rules.graph import linear_maps
from keras_decorr.training import gradients
from tests import reference_rules
from tests.helpers import EAGERLY
from tests.rules.nets import (
    UNCOMPILED,
    assert_close,
    compiled,
    cosine,
    data,
    decorrelator,
    feedback,
    net,
    numpy,
    twin,
)

# Of 18 rows layers of 20 units apply M to the batch and the others fold it into the kernel.
CASES = [
    ("dense", True, 18),
    ("dense", True, 7),
    ("dense", False, 18),
    ("conv", True, 7),
    ("conv", False, 7),
]


@pytest.mark.parametrize(("kind", "decorr", "rows"), CASES)
@pytest.mark.parametrize("rule", ["backprop", "feedback_alignment"])
def test_gradients_equal_float64_to_1e_5(kind, decorr, rows, rule, rng):
    model = net(kind, rule, rng, decorr)
    x, y = data(model, rng, rows)
    B = feedback(model) if rule == "feedback_alignment" else None
    expected = reference_rules.gradients(twin(model), x.astype("float64"), y, rule, B)
    assert_close(gradients(model, x, y), expected)


def test_inputs_that_are_not_centred(rng):
    model = net("conv", "feedback_alignment", rng, center=False)
    x, y = data(model, rng, 7)
    expected = reference_rules.gradients(
        twin(model), x.astype("float64"), y, "feedback_alignment", feedback(model)
    )
    assert_close(gradients(model, x, y), expected)


@pytest.mark.parametrize(("kind", "decorr", "rows"), CASES)
def test_with_b_equal_to_w_it_is_backpropagation(kind, decorr, rows, rng):
    model = net(kind, "feedback_alignment", rng, decorr)
    x, y = data(model, rng, rows)
    before = gradients(model, x, y)
    for layer in linear_maps(model)[1:]:
        model.learning_rule_state.of(layer).assign(layer.kernel)
    ours = gradients(model, x, y)
    for a, b in zip(ours, gradients(model, x, y, "backprop"), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.allclose(ours[0], before[0])


def test_sign_concordant_feedback_has_the_signs_of_w(rng):
    model = net("conv", FeedbackAlignment("sign_concordant", seed=3), rng)
    B = [
        None if b is None else np.abs(b) * np.sign(m.W)
        for b, m in zip(feedback(model), twin(model), strict=True)
    ]
    x, y = data(model, rng, 7)
    expected = reference_rules.gradients(
        twin(model), x.astype("float64"), y, "feedback_alignment", B
    )
    assert_close(gradients(model, x, y), expected)


def angles(model):
    pairs = zip(feedback(model)[1:], twin(model)[1:], strict=True)
    return np.array([np.degrees(np.arccos(cosine(B, m.W))) for B, m in pairs])


def test_kolen_pollack_feedback_turns_towards_w(rng):
    keras.utils.set_random_seed(2)
    layers = [DecorDense(n, "tanh", decorrelator=d) for n, d in ((12, decorrelator()), (8, None))]
    model = keras_decorr.Sequential([keras.Input((6,)), *layers, DecorDense(3, decorrelator=None)])
    adam = keras.optimizers.AdamW(1e-2, weight_decay=5.0)  # B - W shrinks by 5 % a step
    compiled(model, FeedbackAlignment("kolen_pollack", seed=3), optimizer=adam, **UNCOMPILED)
    x, y = data(model, rng, 32)
    before = angles(model)
    model.fit(x, y, batch_size=32, epochs=80, verbose=0)
    assert np.all(angles(model) < before / 3)


def test_fixed_feedback_stays_and_the_weights_turn_towards_it(rng):
    keras.utils.set_random_seed(2)
    layers = [DecorDense(n, "tanh", decorrelator=None) for n in (30, 30)]
    model = keras_decorr.Sequential([keras.Input((6,)), *layers, DecorDense(3, decorrelator=None)])
    compiled(model, "feedback_alignment", optimizer=keras.optimizers.Adam(3e-3), **UNCOMPILED)
    x, _ = data(model, rng, 64)
    y = x[:, :3].argmax(1)
    before, B = angles(model), feedback(model)[1:]
    history = model.fit(x, y, batch_size=32, epochs=30, verbose=0).history
    assert history["loss"][-1] < history["loss"][0] / 2
    for a, b in zip(feedback(model)[1:], B, strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.all(angles(model) < before)
    assert angles(model)[-1] < before[-1] - 10


@pytest.mark.parametrize("rule", [FeedbackAlignment, DirectFeedbackAlignment])
def test_the_feedback_follows_the_seed(rule, rng):
    key = "feedback" if rule is FeedbackAlignment else 0

    def drawn(seed):
        return feedback(net("dense", rule("random_uniform", seed=seed), rng), key)[1:]

    if rule is FeedbackAlignment:
        rule = partial(rule, "fixed")
    for a, b, c in zip(drawn(3), drawn(3), drawn(4), strict=True):
        np.testing.assert_array_equal(a, b)
        assert not np.any(a == c)
    second, third = drawn(3)
    assert second.flat[0] != third.flat[0]  # each layer has a seed of its own


def test_without_a_seed_the_feedback_follows_that_of_keras():
    made = []
    for seed in (1, 1, 2):
        model = keras_decorr.Sequential([keras.Input((4,)), DecorDense(4), DecorDense(2)])
        keras.utils.set_random_seed(seed)
        made.append(feedback(compiled(model, "feedback_alignment"))[1])
    np.testing.assert_array_equal(made[0], made[1])
    assert not np.any(made[0] == made[2])


def test_initializer_and_scale_are_obeyed(rng):
    ones = FeedbackAlignment(feedback_initializer="ones", feedback_scale=0.5)
    assert all(np.all(B == 0.5) for B in feedback(net("dense", ones, rng))[1:])
    # The default is the Kaiming uniform of the paper.
    B = feedback(net("dense", "feedback_alignment", rng, units=(300, 200)))[1]
    limit = np.sqrt(6 / 300)
    assert 0.99 * limit < np.abs(B).max() <= limit


def test_biases_learn(rng):
    for kind in ("dense", "conv"):
        model = net(kind, "feedback_alignment", rng, eagerly=bool(EAGERLY))
        before = [numpy(layer.bias).copy() for layer in linear_maps(model)]
        model.train_on_batch(*data(model, rng, 8))
        for layer, b in zip(linear_maps(model), before, strict=True):
            assert np.all(numpy(layer.bias) != b)


def test_layers_that_are_no_linear_maps_keep_their_gradient(rng):
    model = keras_decorr.Sequential(
        [
            keras.Input((6,)),
            DecorDense(5, decorrelator=None),
            keras.layers.LayerNormalization(),
            DecorDense(3, decorrelator=None),
        ]
    )
    compiled(model, "feedback_alignment")
    x, y = data(model, rng, 8)
    B = feedback(model)[1]
    e = (reference_rules.softmax(numpy(model(x)).astype("float64")) - np.eye(3)[y]) / len(y)
    beta = gradients(model, x, y)[3]
    np.testing.assert_allclose(beta, (e @ B.T).sum(0), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"feedback": "random"}, r"`feedback` of FeedbackAlignment.*'kolen_pollack'.*'random'"),
        ({"feedback_initializer": "nope"}, r"`feedback_initializer` of FeedbackAlignment.*'nope'"),
        ({"feedback_scale": 0.0}, r"`feedback_scale` of FeedbackAlignment.*0.0"),
        ({"feedback_scale": float("nan")}, r"`feedback_scale` of FeedbackAlignment.*nan"),
        ({"seed": "x"}, r"`seed` of FeedbackAlignment.*'x'"),
    ],
)
def test_arguments_out_of_their_range_are_refused_by_name(arguments, message):
    with pytest.raises(ValueError, match=message):
        FeedbackAlignment(**arguments)
