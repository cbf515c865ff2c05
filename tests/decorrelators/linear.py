"""What the tests of the linear rules, NormPreserving and DecorrelatedBackprop, share."""

import keras
import numpy as np

from keras_decorr.decorrelators import DecorrelatedBackprop
from keras_decorr.layers import DecorConv2D, Decorrelation
from tests import reference
from tests.helpers import explicit, perturb, perturbed, relative_error, stage_groups, undamped

ETA = 0.05
STRUCTURES = ["full", "block_diagonal", "monarch"]
SIZES = [8, 64, *([512] if keras.backend.backend() == "tensorflow" else [])]  # the last takes long


def make(rule, **arguments):
    defaults = {"learning_rate": ETA, "sample_fraction": 1.0, "max_samples": None}
    arguments = {**defaults, "structure": "full", **arguments}
    if rule == "norm_preserving":
        return undamped(**{"gain_rate": 1.0, **arguments})
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


def check_dense_step(rule, structure, k, center, rng):
    """One step on rows equals the equations in float64."""
    decorrelator = make(rule, structure=structure, groups=4, center=center)
    layer, groups, before, X, mean = perturbed(decorrelator, structure, k, rng)
    layer(X, training=True)
    expected = expected_step(before, groups, X.astype("float64"), mean, rule)
    for M, want in zip(explicit(layer, groups), expected, strict=True):
        assert relative_error(M, want) < 1e-5


def check_convolution_step(rule, structure, kernel, strides, dilation, padding, images, rng):
    """One step on the patches of images equals the equations in float64."""
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


def check_that_the_energy_falls(rule, n, rng):
    """At every step, to below one per cent of the squares off the diagonal."""
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
