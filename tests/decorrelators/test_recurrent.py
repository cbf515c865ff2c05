"""Recurrent against the linear rule, and against what theory promises."""

import numpy as np
import pytest
from keras import ops

from keras_decorr.decorrelators import Recurrent
from keras_decorr.layers import Decorrelation
from tests.decorrelators.lateral import ALL_ROWS, CLOSE, QUICK, make, trained
from tests.helpers import explicit, off_diagonal, rows_of_covariance, stage_groups, undamped


@pytest.mark.parametrize("preserve", ["raw", "nothing"])
def test_recurrent_equals_the_linear_rule_to_first_order(preserve, rng):
    """After a step they differ by `g eta^2 C^2 M`, so halving the rate quarters the difference.

    The next order makes the ratio `4 (1 - x) / (1 - x / 2)`, `x = eta l` for the eigenvalues `l` of C:
    between `4 (1 - x)` and 4 for `x < 0.1` here.
    """
    n = 12
    A = 0.3 * rng.normal(size=(n, n)) / np.sqrt(n)
    M = np.linalg.inv(np.eye(n) + A)
    X = rng.normal(size=(64, n)).astype("float32")
    largest = np.linalg.eigvalsh(M @ X.T @ X @ M.T / 64)[-1]

    def after(cls, start, eta, **arguments):
        shared = {"structure": "full", "center": False, "preserve": preserve, **ALL_ROWS}
        layer = Decorrelation(cls(eta, **shared, **arguments))
        layer.build((None, n))
        layer.matrices[0].assign(start.astype("float32"))
        layer(X, training=True)
        return ops.convert_to_numpy(layer.matrices[0]).astype("float64")

    differences = []
    for x in (0.1, 0.05, 0.025):
        eta = float(x / largest)
        linear = after(undamped, M, eta)
        recurrent = np.linalg.inv(after(Recurrent, np.eye(n) + A, eta, **CLOSE))
        differences.append(np.linalg.norm(recurrent - linear))
    ratios = np.array(differences[:-1]) / differences[1:]
    # 1 % for the rounding of float32, some 1e-7 beside differences of 1e-4.
    assert np.all(ratios < 4.04)
    assert ratios[0] > 3.6 * 0.99 and ratios[1] > 3.8 * 0.99


def test_recurrent_lowers_the_correlation_as_its_scalar_recursion_says(rng):
    """All matrices share the eigenvectors of the covariance: an eigenvalue `c` of C goes to
    `c (g / (1 + eta c))^2`, with the gain `g` of the rows.
    """
    n, eta = 8, 0.02
    covariance = 0.8 ** np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    X = rows_of_covariance(rng, 64, covariance)
    layer, steps = trained(make("recurrent", learning_rate=eta, center=False, **QUICK), X)
    steps(150)
    s, Q = np.linalg.eigh(X.T.astype("float64") @ X / 64)
    m = np.ones(n)
    for _ in range(150):
        U = X @ Q * m
        g = np.mean(np.linalg.norm(X, axis=1) / np.linalg.norm(U, axis=1))
        m = g * m / (1 + eta * m**2 * s)
    M = np.linalg.inv(explicit(layer, stage_groups("full", n, 1))[0])
    energy = off_diagonal(M @ covariance @ M.T)
    expected = off_diagonal(Q @ np.diag(m**2 * s) @ Q.T)
    assert expected < 0.05 * off_diagonal(covariance)
    assert energy == pytest.approx(expected, rel=0.02)  # 150 steps of float32, at rest to 1e-5
