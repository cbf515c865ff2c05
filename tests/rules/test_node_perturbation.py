"""Node perturbation: its estimates, in the mean and one by one, and what its noise leaves alone."""

import itertools

import keras
import numpy as np
import pytest
from keras import ops

import keras_decorr
from keras_decorr.layers import DecorDense
from keras_decorr.rules import NodePerturbation
from keras_decorr.rules.noise import Noise
from keras_decorr.training import gradients
from tests import reference_rules
from tests.helpers import EAGERLY, few_of, relative_error
from tests.rules.nets import (
    UNCOMPILED,
    assert_close,
    compiled,
    cosine,
    data,
    decorrelator,
    matrices,
    net,
    numpy,
    per_layer,
    twin,
)

ESTIMATORS = ["finite_difference", "directional_derivative", "activity"]
SMALL = {
    "dense": {"units": (4, 4), "center": False},
    "conv": {"filters": (2, 2), "center": False},
}

# What a mean adds to the single estimates, the statistics of the noise, one net shows on a backend.
MEANS = [("conv", True, "finite_difference")]
if keras.backend.backend() == "tensorflow":
    MEANS = [*itertools.product(SMALL, [True, False], ESTIMATORS[:2])]
FEW = [("conv", True, "finite_difference"), ("dense", True, "directional_derivative")]


def many(model, rng, repeats=20_000):
    """Two samples, many times: each row has noise of its own, so one pass is many perturbations."""
    x, y = data(model, rng, 2)
    return np.tile(x, (repeats, *[1] * (x.ndim - 1))), np.tile(y, repeats), x, y


def assert_along(found, expected):
    for a, b in zip(found, expected, strict=True):
        assert cosine(a, b) > 0.99
        assert 0.9 < np.linalg.norm(a) / np.linalg.norm(b) < 1.1


# For a gradient g of all pre-activations the estimate (g . xi) xi has the mean g. In the part g_l of a
# layer of N_l units its squared error is |g|^2 N_l + |g_l|^2, and a mean of n has that over n. The
# cosine falls short of 1 by half the squared relative error. The worst is the first convolution, with
# N_l = 32 and |g|^2 up to 30 |g_l|^2: n = 8 x 20,000 makes that 0.003, a third of what is allowed.
@pytest.mark.parametrize(("kind", "decorr", "estimator"), few_of(MEANS, lambda *v: v in FEW))
def test_the_mean_estimate_points_along_the_gradient(kind, decorr, estimator, rng):
    rule = NodePerturbation(estimator=estimator, n_samples=8, seed=1)
    model = net(kind, rule, rng, decorr, **SMALL[kind])
    x, y, few, labels = many(model, rng)
    exact = per_layer(gradients(model, few, labels, "backprop"))
    assert_along(per_layer(gradients(model, x, y)), exact)


@pytest.mark.parametrize("kind", few_of(sorted({kind for kind, *_ in MEANS}), "conv".__eq__))
def test_the_mean_activity_estimate_is_what_its_equation_gives(kind, rng):
    """It is no unbiased estimate of the gradient: noise of the layers before comes with it."""
    rule = NodePerturbation(estimator="activity", n_samples=8, seed=1)
    model = net(kind, rule, rng, **SMALL[kind])
    x, y, few, labels = many(model, rng)
    expected = reference_rules.activity(twin(model), few.astype("float64"), labels)
    expected = [np.concatenate([dW.ravel(), db]) for dW, db in expected]
    assert_along(per_layer(gradients(model, x, y)), expected)
    exact = per_layer(gradients(model, few, labels, "backprop"))
    cosines = [cosine(a, b) for a, b in zip(expected, exact, strict=True)]
    assert cosines[0] > 0.98  # before the first layer there is nothing
    assert 0.8 < cosines[-1] < 0.95


@pytest.mark.parametrize("n_samples", [1, 3])
@pytest.mark.parametrize(
    ("kind", "decorr", "rows"),
    [("dense", True, 18), ("dense", True, 7), ("dense", False, 18), ("conv", True, 7)],
)
def test_the_directional_derivative_equals_float64_to_1e_5(kind, decorr, rows, n_samples, rng):
    rule = NodePerturbation(estimator="directional_derivative", n_samples=n_samples, seed=1)
    model = net(kind, rule, rng, decorr)
    x, y = data(model, rng, rows)
    maps = twin(model)
    shapes = [p.a.shape for p in reference_rules.forward(maps, x)]
    seed = ops.convert_to_tensor(model.learning_rule_state.seed_and_step)
    found = []
    for sample in range(n_samples):
        noise = Noise(model.learning_rule_state, seed, sample)
        xi = [numpy(noise.of(i, ops.zeros(shape))) for i, shape in enumerate(shapes)]
        xi = [part.astype("float64") for part in xi]
        found.append(reference_rules.directional_derivative(maps, x.astype("float64"), y, xi))
    expected = [
        tuple(sum(parts) / n_samples for parts in zip(*layer, strict=True))
        for layer in zip(*found, strict=True)
    ]
    assert_close(gradients(model, x, y), expected)


@pytest.mark.parametrize("kind", few_of(["dense", "conv"], "conv".__eq__))
def test_a_finite_difference_nears_the_directional_derivative(kind, rng):
    """With the same noise it differs by sigma, in first order, and by float32's resolution."""
    found = {}
    for estimator in ESTIMATORS[:2]:
        model = net(
            kind, NodePerturbation(1e-3, estimator=estimator, seed=1), np.random.default_rng(0)
        )
        found[estimator] = gradients(model, *data(model, np.random.default_rng(1), 8))
    for a, b in zip(*found.values(), strict=True):
        assert relative_error(a, b) < 0.02


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("kind", ["dense", "conv"])
def test_m_learns_from_the_clean_samples_alone(kind, estimator):
    """However large the noise, M goes exactly where backpropagation takes it."""
    state = {}
    for rule in ("backprop", NodePerturbation(0.5, 2, estimator, seed=1)):
        rng = np.random.default_rng(0)
        model = net(kind, rule, rng, eagerly=True)  # what a compiler fuses may differ by a rounding
        start = matrices(model)
        model.train_on_batch(*data(model, rng, 18))
        assert [int(d.steps) for d in model.decorrelation_layers] == [1, 1, 1]
        assert all(np.any(a != b) for a, b in zip(start, matrices(model), strict=True))
        means = [numpy(d.moving_mean) for d in model.decorrelation_layers]
        state[str(rule)] = matrices(model) + means
    for a, b in zip(*state.values(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_every_step_has_noise_of_its_own(estimator, rng):
    model = net("dense", NodePerturbation(estimator=estimator, seed=1), rng)
    x, y = data(model, rng, 8)
    first = gradients(model, x, y)
    for a, b in zip(first, gradients(model, x, y), strict=True):  # asking moves nothing
        np.testing.assert_array_equal(a, b)
    state = model.learning_rule_state.seed_and_step
    assert list(numpy(state)) == [1, 0]
    state.assign([1, 1])
    assert all(np.all(a != b) for a, b in zip(first, gradients(model, x, y), strict=True))
    state.assign([2, 0])
    assert all(np.all(a != b) for a, b in zip(first, gradients(model, x, y), strict=True))


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_it_learns(estimator, rng):
    keras.utils.set_random_seed(2)
    model = keras_decorr.Sequential([
        keras.Input((6,)),
        DecorDense(8, activation="tanh", decorrelator=decorrelator()),
        DecorDense(3, decorrelator=None),
    ])  # fmt: skip
    rule = NodePerturbation(n_samples=2, estimator=estimator, seed=1)
    adam = keras.optimizers.Adam(3e-2)
    compiled(model, rule, rng, optimizer=adam, **UNCOMPILED)
    x, _ = data(model, rng, 128)
    y = x[:, :3].argmax(1)
    history = model.fit(x, y, batch_size=64, epochs=12, verbose=0).history
    assert history["loss"][-1] < 0.8 * history["loss"][0]


def test_regularisers_keep_their_gradient(rng):
    """With nothing but a regulariser to follow, its gradient is the update."""
    keras.utils.set_random_seed(2)
    layer = DecorDense(3, kernel_regularizer="l2", decorrelator=None)
    model = keras_decorr.Sequential([keras.Input((6,)), layer])
    compiled(model, "node_perturbation")
    x, y = data(model, rng, 8)
    found = gradients(model, x, y, sample_weight=np.zeros(8, "float32"))
    np.testing.assert_allclose(found[0], 2 * 0.01 * numpy(layer.kernel), rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(found[1], 0.0, atol=1e-7)


def test_the_logs_show_the_clean_loss(rng):
    losses = []
    for rule in ("backprop", NodePerturbation(10.0, n_samples=2)):
        model = net("dense", rule, np.random.default_rng(0), units=(16,), eagerly=bool(EAGERLY))
        x, y = data(model, np.random.default_rng(1), 8)
        losses.append(float(model.train_on_batch(x, y, return_dict=True)["loss"]))
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sigma": 0.0}, r"`sigma` of NodePerturbation.*Received: 0.0"),
        ({"sigma": -1e-3}, r"`sigma` of NodePerturbation.*Received: -0.001"),
        ({"sigma": float("inf")}, r"`sigma` of NodePerturbation.*inf"),
        ({"n_samples": 0}, r"`n_samples` of NodePerturbation.*at least 1. Received: 0"),
        ({"n_samples": 1.5}, r"`n_samples` of NodePerturbation.*Received: 1.5"),
        ({"estimator": "guess"}, r"`estimator` of NodePerturbation.*'activity'.*'guess'"),
        ({"seed": "x"}, r"`seed` of NodePerturbation.*'x'"),
    ],
)
def test_arguments_out_of_their_range_are_refused_by_name(arguments, message):
    with pytest.raises(ValueError, match=message):
        NodePerturbation(**arguments)
