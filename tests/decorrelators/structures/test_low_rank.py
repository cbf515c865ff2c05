"""The low-rank M: its form, its step against float64, and what it follows."""

import numpy as np
import pytest
from keras import ops

from keras_decorr.decorrelators import DecorrelatedBackprop
from keras_decorr.decorrelators.structures import LowRank
from keras_decorr.layers import DecorDense, Decorrelation
from keras_decorr.maths.subspace import RATE
from tests import reference
from tests.decorrelators.lateral import trained
from tests.helpers import relative_error, undamped


def double(x):
    return ops.convert_to_numpy(x).astype("float64")


def perturbed(layer, rng):
    V, S, s = layer.matrices
    r = S.shape[0]
    S.assign(np.eye(r) + rng.normal(size=(r, r)) * 0.2)
    s.assign([[0.8]])
    return double(V), double(S), 0.8


@pytest.mark.parametrize(("k", "preserve"), [(7, "centred"), (200, "centred"), (200, "raw")])
def test_a_step_equals_the_equations(k, preserve, rng):
    n, r, eta = 40, 6, 0.05
    layer = Decorrelation(
        undamped(
            eta, preserve, 1.0, sample_fraction=1.0, max_samples=None, structure="low_rank", rank=r
        )
    )
    layer.build((None, n))
    V, S, s = perturbed(layer, rng)
    X = (rng.normal(size=(k, n)) @ rng.normal(size=(n, n)) / 6 + 0.4).astype("float32")
    layer(X, training=True)
    X = X.astype("float64")
    Z = X - X.mean(0)
    expected = reference.low_rank_step(V, S, s, X if preserve == "raw" else Z, Z, eta, RATE)
    for found, want in zip(layer.matrices, expected, strict=True):
        assert relative_error(double(found), want) < 1e-5


def test_it_is_a_matrix_that_applies_and_folds(rng):
    layer = Decorrelation(undamped(structure="low_rank", rank=5, center=False))
    layer.build((None, 24))
    M = reference.low_rank(*perturbed(layer, rng))
    Z, K = rng.normal(size=(9, 24)).astype("float32"), rng.normal(size=(24, 3)).astype("float32")
    assert relative_error(double(layer(Z)), Z @ M.T) < 1e-5
    assert relative_error(double(layer.fold(ops.convert_to_tensor(K))), M.T @ K) < 1e-5


def test_it_takes_away_the_correlations_of_few_directions(rng):
    """Data whose correlations all lie in `r` directions: below 3 % of the energy is left."""
    n, r, k = 64, 4, 512
    factors = rng.normal(size=(k, r)) @ np.linalg.qr(rng.normal(size=(n, r)))[0].T
    X = (5.0 * factors + 0.5 * rng.normal(size=(k, n))).astype("float32")
    layer, steps = trained(
        undamped(
            3e-2,
            gain_rate=1.0,
            sample_fraction=1.0,
            structure="low_rank",
            rank=r,
            center=False,
            max_samples=None,
        ),
        X,
    )

    def energy():
        U = X @ reference.low_rank(*(double(M) for M in layer.matrices)).T
        C = U.T @ U / k
        return np.sum((C - np.diag(np.diag(C))) ** 2) / np.trace(C) ** 2

    before = energy()
    steps(400)
    assert energy() < 0.03 * before
    norms = np.linalg.norm(double(layer(X)), axis=1) / np.linalg.norm(X, axis=1)
    assert np.mean(norms) == pytest.approx(1.0, abs=0.1)


def test_a_rate_of_zero_keeps_the_directions(rng):
    layer = Decorrelation(undamped(0.0, structure="low_rank", rank=2))
    layer.build((None, 8))
    before = double(layer.matrices[0])
    layer(rng.normal(size=(30, 8)).astype("float32"), training=True)
    np.testing.assert_array_equal(double(layer.matrices[0]), before)


def test_ranks_that_cannot_be():
    with pytest.raises(ValueError, match=r"`rank`.*at most the number of features, 5 .*rank=6"):
        DecorDense(3, decorrelator=undamped(structure="low_rank", rank=6)).build((None, 5))
    with pytest.raises(ValueError, match=r"`rank`.*Received: 0"):
        undamped(rank=0)
    with pytest.raises(ValueError, match=r"`structure`.*Received: 'low_rank'"):
        DecorrelatedBackprop(structure="low_rank")
    assert LowRank().for_features(27).r == 6
    assert LowRank().for_features(1000).r == 32
    assert LowRank(5).for_features(5).r == 5
