"""The rule of decorrelated backpropagation against its equations in float64."""

import numpy as np
import pytest

from tests import reference
from tests.decorrelators.linear import (
    ETA,
    SIZES,
    STRUCTURES,
    check_convolution_step,
    check_dense_step,
    check_that_the_energy_falls,
)


# The step is linear in kappa: one between 0 and 1 shows both terms.
@pytest.mark.parametrize(
    ("kappa", "structure"),
    [*(("0.3", structure) for structure in STRUCTURES), ("0", "full"), ("1", "full")],
)
@pytest.mark.parametrize(("k", "center"), [(7, True), (200, False)])
def test_dense_step_equals_the_equations(kappa, structure, k, center, rng):
    check_dense_step(kappa, structure, k, center, rng)


def test_the_full_step_equals_the_paper_line_by_line(rng):
    M, X = rng.normal(size=(5, 5)), rng.normal(size=(9, 5))
    U = X @ M.T
    plain = reference.decorrelated_backprop(M, X, U, ETA, 0.4)
    np.testing.assert_allclose(reference.stage_step(M, [list(range(5))], X, U, ETA, 0.4), plain)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_convolution_step_equals_the_equations(structure, rng):
    """What it sees does not depend on the rule: one kernel shows it."""
    check_convolution_step("0.3", structure, (2, 4), (2, 1), (1, 1), "same", 3, rng)


@pytest.mark.parametrize("n", SIZES)
def test_off_diagonal_energy_falls_at_every_step_to_below_one_percent(n, rng):
    check_that_the_energy_falls("0", n, rng)
