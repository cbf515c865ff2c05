"""One step of every rule against the equations in float64."""

import itertools

import keras
import numpy as np
import pytest
from keras import ops

from keras_decorr.decorrelators import DecorrelatedBackprop, NormPreserving
from keras_decorr.layers import DecorConv2D, Decorrelation
from tests import reference
from tests.helpers import explicit, perturb, perturbed, relative_error, stage_groups

ETA = 0.05
STRUCTURES = ["full", "block_diagonal", "monarch"]
# The step is linear in kappa: one between 0 and 1 shows both terms.
RULES = ["norm_preserving", "0.3"]

SIZES = [8, 64, *([512] if keras.backend.backend() == "tensorflow" else [])]  # the last takes long


def make(rule, **arguments):
    defaults = {"learning_rate": ETA, "sample_fraction": 1.0, "max_samples": None}
    arguments = {**defaults, "structure": "full", **arguments}
    if rule == "norm_preserving":
        return NormPreserving(**{"gain_rate": 1.0, **arguments})
    return DecorrelatedBackprop(kappa=float(rule), **arguments)


def expected_step(matrices, groups, X, mean, rule, preserve="centred", gain_rate=1.0):
    kappa = None if rule == "norm_preserving" else float(rule)
    new, u = [], X - mean
    x = X if preserve == "raw" else u
    for M, stage in zip(matrices, groups, strict=True):
        u = u @ M.T
        kept = u if preserve == "nothing" else x  # its own norm: a gain of 1
        new.append(reference.stage_step(M, stage, kept, u, ETA, kappa, gain_rate))
        x = u
    return new


@pytest.mark.parametrize(
    ("rule", "structure"),
    [*itertools.product(RULES, STRUCTURES), ("0", "full"), ("1", "full")],
)
@pytest.mark.parametrize(("k", "center"), [(7, True), (200, False)])
def test_dense_step_equals_the_equations(rule, structure, k, center, rng):
    decorrelator = make(rule, structure=structure, groups=4, center=center)
    layer, groups, before, X, mean = perturbed(decorrelator, structure, k, rng)
    layer(X, training=True)
    expected = expected_step(before, groups, X.astype("float64"), mean, rule)
    for M, want in zip(explicit(layer, groups), expected, strict=True):
        assert relative_error(M, want) < 1e-5


@pytest.mark.parametrize("preserve", ["raw", "nothing"])
@pytest.mark.parametrize("structure", STRUCTURES)
def test_the_norm_that_is_kept(preserve, structure, rng):
    decorrelator = make("norm_preserving", structure=structure, groups=4, preserve=preserve)
    layer, groups, before, X, mean = perturbed(decorrelator, structure, 9, rng)
    layer(X, training=True)
    args = before, groups, X.astype("float64"), mean, "norm_preserving"
    found = explicit(layer, groups)
    for M, want in zip(found, expected_step(*args, preserve), strict=True):
        assert relative_error(M, want) < 1e-5
    assert relative_error(found[0], expected_step(*args)[0]) > 1e-3


@pytest.mark.parametrize("structure", STRUCTURES)
def test_the_gain_follows_at_a_rate_of_its_own(structure, rng):
    decorrelator = NormPreserving(ETA, sample_fraction=1.0, structure=structure, groups=4)
    layer, groups, before, X, mean = perturbed(decorrelator, structure, 9, rng)
    layer(X, training=True)
    args = before, groups, X.astype("float64"), mean, "norm_preserving"
    found = explicit(layer, groups)
    for M, want in zip(found, expected_step(*args, gain_rate=0.1), strict=True):
        assert relative_error(M, want) < 1e-5
    assert relative_error(found[0], expected_step(*args)[0]) > 1e-3


def test_the_full_step_equals_the_paper_line_by_line(rng):
    M, X = rng.normal(size=(5, 5)), rng.normal(size=(9, 5))
    U = X @ M.T
    groups = [list(range(5))]
    for kappa in (None, 0.4):
        plain = (
            reference.norm_preserving(M, X, U, ETA)
            if kappa is None
            else reference.decorrelated_backprop(M, X, U, ETA, kappa)
        )
        np.testing.assert_allclose(reference.stage_step(M, groups, X, U, ETA, kappa), plain)


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize(
    ("rule", "kernel", "strides", "dilation", "padding", "images"),
    [
        ("norm_preserving", (3, 3), (1, 1), (1, 1), "same", 2),
        ("norm_preserving", (2, 4), (2, 1), (1, 1), "same", 3),
        ("norm_preserving", (3, 2), (1, 1), (2, 2), "valid", 3),
        ("norm_preserving", (4, 4), (1, 1), (1, 1), "valid", 1),
        ("0.3", (2, 4), (2, 1), (1, 1), "same", 3),  # what it sees does not depend on the rule
    ],
)
def test_convolution_step_equals_the_equations(
    rule, structure, kernel, strides, dilation, padding, images, rng
):
    channels, g = 4, 2
    n = kernel[0] * kernel[1] * channels
    layer = DecorConv2D(
        3, kernel, strides=strides, padding=padding, dilation_rate=dilation,
        decorrelator=make(rule, structure=structure, groups=g),
    )  # fmt: skip
    x = (rng.normal(size=(images, 7, 9, channels)) + 0.3).astype("float32")
    layer.build(x.shape)
    perturb(layer.decorrelation, rng)
    groups = stage_groups(structure, n, g)
    before = explicit(layer.decorrelation, groups)
    layer(x, training=True)
    X = reference.patches(x.astype("float64"), kernel, strides, dilation, padding)
    expected = expected_step(before, groups, X, X.mean(0), rule)
    for M, want in zip(explicit(layer.decorrelation, groups), expected, strict=True):
        assert relative_error(M, want) < 1e-5


def correlated(n, rng):
    """Rows of `n` features that a few factors have in common."""
    k = max(2 * n, 256)
    factors = rng.normal(size=(k, max(n // 16, 2)))
    X = rng.normal(size=(k, n)) + factors @ rng.normal(size=(factors.shape[1], n)) * 0.5
    return X.astype("float32")


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("rule", ["norm_preserving", "0"])
def test_off_diagonal_energy_falls_at_every_step_to_below_one_percent(n, rule, rng):
    X = correlated(n, rng)
    covariance = X.T.astype("float64") @ X / len(X)
    # An eigenvalue l of C goes to g^2 l (1 - eta l)^2. That keeps their order, so that none
    # overshoots, as long as 3 eta l < 1 for the largest; the gain takes the rest of the margin.
    eta = 0.1 / np.linalg.eigvalsh(covariance)[-1]
    layer = Decorrelation(make(rule, center=False, learning_rate=float(eta)))
    layer.build((None, n))

    def energy():
        M = explicit(layer, stage_groups("full", n, 1))[0]
        C = M @ covariance @ M.T
        return np.sum((C - np.diag(np.diag(C))) ** 2)

    energies = [energy()]
    while len(energies) < 1000 and energies[-1] >= 0.01 * energies[0]:
        layer(X, training=True)
        energies.append(energy())
    assert np.all(np.diff(energies) < 0)
    assert energies[-1] < 0.01 * energies[0]


@pytest.mark.parametrize("n", [64, 100])  # 100: with padding
def test_the_default_lowers_the_energy_at_every_step(n, rng):
    X = correlated(n, rng) + 3.0  # centred by the layer
    covariance = np.cov(X.T.astype("float64"), bias=True)
    # Below the bound of the full M, as two stages move at once. A Monarch M cannot remove all.
    eta = 0.03 / np.linalg.eigvalsh(covariance)[-1]
    layer = Decorrelation(NormPreserving(float(eta), sample_fraction=1.0))
    layer.build((None, n))
    energies = []
    for _ in range(100):
        M = ops.convert_to_numpy(layer.fold(ops.eye(n))).T.astype("float64")
        C = M @ covariance @ M.T
        energies.append(np.sum((C - np.diag(np.diag(C))) ** 2))
        layer(X, training=True)
    assert np.all(np.diff(energies) < 0)
    assert energies[-1] < 0.5 * energies[0]
