"""What the guard knows of the singular values of M, with and without finding them."""

import numpy as np
import pytest

from keras_decorr.callbacks.matrix_scale import matrix_scale
from keras_decorr.decorrelators import Recurrent
from keras_decorr.layers import Decorrelation
from tests.helpers import undamped


def layer(decorrelator, factor, n=48):
    """Its M is near `factor` times the identity."""
    built = Decorrelation(decorrelator)
    built.build((None, n))
    rng = np.random.default_rng(1)
    for M, identity in zip(built.matrices, built.operator.identities(), strict=True):
        noise = 0.1 / np.sqrt(identity.shape[-1]) * rng.normal(size=identity.shape)
        M.assign((identity + noise * np.any(identity, -1, keepdims=True)) * factor)
    return built


@pytest.mark.parametrize(
    ("decorrelator", "power"),
    [
        (undamped(structure="full"), 1),
        (undamped(structure="block_diagonal"), 1),
        (undamped(structure="monarch"), 2),  # two stages
        (Recurrent(structure="full"), -1),  # M is the inverse of its weights
    ],
)
def test_a_quick_look_bounds_the_largest_singular_value(decorrelator, power):
    for factor in (1e-3, 1.0, 1e3):
        found = layer(decorrelator, factor)
        quick, exact = matrix_scale(found, thorough=False), matrix_scale(found)
        assert exact.least_gain == pytest.approx(factor**power, rel=0.6)
        assert quick.least_gain <= 1.0001 * exact.least_gain <= quick.most_gain
        assert quick.least_gain > 0.5 * exact.least_gain
        expected = {-3: "vanishes", 0: "", 3: "has diverged"}[
            round(3 * np.sign(power) * np.log10(factor) / 3)
        ]
        for scale in (quick, exact):
            assert (scale.failure(1e6, 100.0) or "").split(":")[0].startswith(expected)


def test_elements_that_are_not_finite():
    found = layer(undamped(structure="full"), 1.0)
    found.matrices[0].assign(np.full((48, 48), np.nan))
    assert not matrix_scale(found).finite
    assert "NaN or infinity" in matrix_scale(found, thorough=False).failure(1e6, 1e4)
