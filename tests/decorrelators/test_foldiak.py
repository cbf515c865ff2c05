"""Foldiak's rule against what theory promises."""

import numpy as np

from tests.decorrelators.lateral import QUICK, make, trained
from tests.helpers import explicit, off_diagonal, rows_of_covariance, stage_groups


def test_foldiak_leaves_no_correlation_and_gets_there_at_its_rate(rng):
    """The squares fall by a share between `4 eta d_min / l_max(L)` and `4 eta d_max / l_min(L)`."""
    n, eta = 6, 0.02
    covariance = 0.7 ** np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    X = rows_of_covariance(rng, 64, covariance)
    layer, steps = trained(make("foldiak", learning_rate=eta, center=False, **QUICK), X)
    energies = []
    for count in (250, 1):
        steps(count)
        (L,) = explicit(layer, stage_groups("full", n, 1))
        M = np.linalg.inv(L)
        C = M @ covariance @ M.T
        energies.append(off_diagonal(C))
    assert energies[-1] < 1e-3 * off_diagonal(covariance)
    np.testing.assert_allclose(np.diag(L), 1.0)
    np.testing.assert_allclose(L, L.T, atol=1e-5)
    values, d = np.linalg.eigvalsh(L), np.diag(C)
    share = 1 - energies[-1] / energies[-2]
    # The theory is of first order in what is left, 3 % of the correlations at first, and in the rate.
    assert 0.95 * 4 * eta * d.min() / values[-1] < share < 1.05 * 4 * eta * d.max() / values[0]
