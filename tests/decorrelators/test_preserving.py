"""The gain: the norm that it keeps, and what a step takes of it."""

import pytest

from tests.decorrelators.linear import ETA, STRUCTURES, expected_step, make
from tests.helpers import explicit, perturbed, relative_error, undamped


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
    decorrelator = undamped(ETA, sample_fraction=1.0, structure=structure, groups=4)
    layer, groups, before, X, mean = perturbed(decorrelator, structure, 9, rng)
    layer(X, training=True)
    args = before, groups, X.astype("float64"), mean, "norm_preserving"
    found = explicit(layer, groups)
    for M, want in zip(found, expected_step(*args, gain_rate=0.1), strict=True):
        assert relative_error(M, want) < 1e-5
    assert relative_error(found[0], expected_step(*args)[0]) > 1e-3
