"""The norm-preserving rule against its equations in float64, and what its steps lead to."""

import numpy as np
import pytest
from keras import ops

from keras_decorr.layers import Decorrelation
from tests import reference
from tests.decorrelators.linear import (
    ETA,
    SIZES,
    STRUCTURES,
    check_convolution_step,
    check_dense_step,
    check_that_the_energy_falls,
    correlated,
)
from tests.helpers import undamped


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize(("k", "center"), [(7, True), (200, False)])
def test_dense_step_equals_the_equations(structure, k, center, rng):
    check_dense_step("norm_preserving", structure, k, center, rng)


def test_the_full_step_equals_the_paper_line_by_line(rng):
    M, X = rng.normal(size=(5, 5)), rng.normal(size=(9, 5))
    U = X @ M.T
    plain = reference.norm_preserving(M, X, U, ETA)
    np.testing.assert_allclose(reference.stage_step(M, [list(range(5))], X, U, ETA), plain)


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize(
    ("kernel", "strides", "dilation", "padding", "images"),
    [
        ((3, 3), (1, 1), (1, 1), "same", 2),
        ((2, 4), (2, 1), (1, 1), "same", 3),
        ((3, 2), (1, 1), (2, 2), "valid", 3),
        ((4, 4), (1, 1), (1, 1), "valid", 1),
    ],
)
def test_convolution_step_equals_the_equations(
    structure, kernel, strides, dilation, padding, images, rng
):
    check_convolution_step(
        "norm_preserving", structure, kernel, strides, dilation, padding, images, rng
    )


@pytest.mark.parametrize("n", SIZES)
def test_off_diagonal_energy_falls_at_every_step_to_below_one_percent(n, rng):
    check_that_the_energy_falls("norm_preserving", n, rng)


@pytest.mark.parametrize("n", [64, 100])  # 100: with padding
def test_the_default_lowers_the_energy_at_every_step(n, rng):
    X = correlated(n, rng) + 3.0  # centred by the layer
    covariance = np.cov(X.T.astype("float64"), bias=True)
    # Below the bound of the full M, as two stages move at once. A Monarch M cannot remove all.
    eta = 0.03 / np.linalg.eigvalsh(covariance)[-1]
    layer = Decorrelation(undamped(float(eta), sample_fraction=1.0))
    layer.build((None, n))
    energies = []
    for _ in range(100):
        M = ops.convert_to_numpy(layer.fold(ops.eye(n))).T.astype("float64")
        C = M @ covariance @ M.T
        energies.append(np.sum((C - np.diag(np.diag(C))) ** 2))
        layer(X, training=True)
    assert np.all(np.diff(energies) < 0)
    assert energies[-1] < 0.5 * energies[0]
