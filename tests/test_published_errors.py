"""The errors of published code (design of this package, section 3) are not repeated here."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_decorr
from keras_decorr.decorrelators import DecorrelatedBackprop
from keras_decorr.layers import DecorConv2D, DecorDense, Decorrelation
from tests import reference
from tests.helpers import perturb, undamped


def dalm(kappa, rate, **arguments):
    return DecorrelatedBackprop(kappa, learning_rate=rate, structure="full", **arguments)


def matrix(layer):
    return ops.convert_to_numpy(layer.decorrelation.matrices[0])


def moved(layer, x):
    layer.build(x.shape)
    before = matrix(layer).copy()
    layer(x, training=True)
    return matrix(layer) - before


def test_a_convolution_uses_the_rate_it_is_given(rng):
    x = rng.normal(size=(4, 6, 6, 2)).astype("float32")
    none, slow, fast = (
        moved(DecorConv2D(3, 3, decorrelator=dalm(0.0, rate)), x) for rate in (0.0, 1e-3, 2e-3)
    )
    assert np.all(none == 0)
    np.testing.assert_allclose(fast, 2 * slow, rtol=1e-2, atol=1e-6)
    with pytest.raises((TypeError, ValueError)):
        DecorConv2D(3, 3, decorrelation_rate=1e-3)  # no argument disappears in **kwargs


def test_the_dense_update_belongs_to_the_map_it_computes(rng):
    """With a non-symmetric M the energy of `u = M z` falls; an update for `M^T z` fails."""
    x = (rng.normal(size=(200, 6)) @ rng.normal(size=(6, 6))).astype("float32")
    layer = Decorrelation(dalm(0.0, 1e-3, sample_fraction=1.0, center=False))
    layer.build(x.shape)
    perturb(layer, rng, size=2.0)
    energies = []
    for _ in range(30):
        U = ops.convert_to_numpy(layer(x))
        C = U.T @ U / len(U)
        energies.append(np.sum((C - np.diag(np.diag(C))) ** 2))
        layer(x, training=True)
    assert np.all(np.diff(energies) < 0)


def test_use_bias_false_is_obeyed(rng):
    x = rng.normal(size=(2, 6, 6, 2)).astype("float32")
    layer = DecorConv2D(3, 3, use_bias=False)
    layer(x)
    assert layer.bias is None
    assert len(layer.trainable_weights) == 1


@pytest.mark.parametrize(
    "arguments",
    [{"kernel_size": (2, 4)}, {"kernel_size": 3, "dilation_rate": 2}, {"kernel_size": 2}],
)
def test_non_square_images_dilation_and_even_kernels_train(arguments, rng):
    x = rng.normal(size=(3, 7, 11, 2)).astype("float32")
    assert np.any(moved(DecorConv2D(3, padding="same", **arguments), x))


def test_the_variance_term_scales_the_rows_of_m(rng):
    x = rng.normal(size=(50, 5)).astype("float32") * np.arange(1, 6, dtype="float32")
    layer = DecorDense(
        2,
        decorrelator=dalm(1.0, 0.01, sample_fraction=1.0, center=False),
    )
    layer.build(x.shape)
    perturb(layer.decorrelation, rng)
    M = matrix(layer).astype("float64")
    layer(x, training=True)
    v = np.mean((x @ M.T) ** 2 - 1, axis=0)
    np.testing.assert_allclose(matrix(layer), M - 0.01 * v[:, None] * M, rtol=1e-4, atol=1e-5)
    expected = reference.decorrelated_backprop(M, None, x @ M.T, 0.01, 1.0)
    np.testing.assert_allclose(matrix(layer), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("use_bias", [True, False])
def test_the_bias_of_a_feedback_alignment_convolution_learns_or_is_not_there(use_bias, rng):
    layer = DecorConv2D(3, 3, activation="tanh", use_bias=use_bias)
    layers = [keras.Input((6, 6, 2)), layer, keras.layers.Flatten(), DecorDense(2)]
    model = keras_decorr.Sequential(layers)
    model.compile("sgd", "mse", learning_rule="feedback_alignment", run_eagerly=True)
    assert len(layer.trainable_weights) == 1 + use_bias
    assert (layer.bias is not None) == use_bias
    kernel = ops.convert_to_numpy(layer.kernel).copy()
    x, y = rng.normal(size=(4, 6, 6, 2)), rng.normal(size=(4, 2))
    model.train_on_batch(x.astype("float32"), y.astype("float32"))
    assert np.all(ops.convert_to_numpy(layer.kernel) != kernel)
    if use_bias:
        assert np.all(ops.convert_to_numpy(layer.bias) != 0)


def test_decorrelated_node_perturbation_trains(rng):
    layers = [
        DecorDense(8, "tanh", decorrelator=undamped(1e-2, structure="full")),
        DecorDense(2, decorrelator=undamped(1e-2, structure="full")),
    ]
    model = keras_decorr.Sequential([keras.Input((6,)), *layers])
    model.compile("sgd", "mse", learning_rule="node_perturbation", run_eagerly=True)
    x, y = rng.normal(size=(16, 6)), rng.normal(size=(16, 2))
    before = [ops.convert_to_numpy(w).copy() for w in model.trainable_weights]
    matrices = [matrix(layer).copy() for layer in layers]
    model.train_on_batch(x.astype("float32"), y.astype("float32"))
    for w, b in zip(model.trainable_weights, before, strict=True):
        assert np.all(ops.convert_to_numpy(w) != b)
    assert all(np.any(matrix(a) != M) for a, M in zip(layers, matrices, strict=True))


def test_the_size_of_the_noise_is_an_argument():
    rule = keras_decorr.rules.NodePerturbation(sigma=0.25)
    assert rule.sigma == rule.get_config()["sigma"] == 0.25


def test_the_sampling_is_an_argument():
    rule = undamped(sample_fraction=0.5, max_samples=9)
    assert (rule.sample_fraction, rule.max_samples) == (0.5, 9)
