"""The Fisher information of a model's outputs: `R R^T` is the covariance of the scores."""

import keras
import numpy as np
import pytest

from keras_decorr.analysis.likelihood import likelihood
from tests.analysis.reference import softmax

LOSSES = keras.losses


def root_of(loss):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.compile("sgd", loss)
    return likelihood(model)


def squared(root, f):
    """`R R^T` for one sample of outputs."""
    R = np.stack([root(f[None], v[None])[0] for v in np.eye(len(f))], axis=1)
    return R @ R.T


def test_softmax(rng):
    f = rng.normal(size=3)
    p = softmax(f)
    F = np.diag(p) - np.outer(p, p)
    for loss in (LOSSES.SparseCategoricalCrossentropy, LOSSES.CategoricalCrossentropy):
        np.testing.assert_allclose(squared(root_of(loss(from_logits=True)), f), F, atol=1e-12)
    # With respect to probabilities the score of class c is e_c / p_c.
    of_probabilities = squared(root_of("sparse_categorical_crossentropy"), p)
    np.testing.assert_allclose(of_probabilities, np.diag(1 / p), rtol=1e-9)


def test_sigmoid_and_gaussian(rng):
    f = rng.normal(size=3)
    p = 1 / (1 + np.exp(-f))
    of_logits = squared(root_of(LOSSES.BinaryCrossentropy(from_logits=True)), f)
    np.testing.assert_allclose(of_logits, np.diag(p * (1 - p)), atol=1e-12)
    of_probabilities = squared(root_of("binary_crossentropy"), p)
    np.testing.assert_allclose(of_probabilities, np.diag(1 / (p * (1 - p))), rtol=1e-9)
    np.testing.assert_array_equal(squared(root_of("mse"), f), np.eye(3))


def test_a_loss_that_is_no_likelihood():
    with pytest.raises(ValueError, match=r"fisher='empirical'.*Received: loss='hinge'"):
        root_of("hinge")
