"""ZCA against its equations in float64, and against the level that theory gives."""

import numpy as np
import pytest
from keras import ops

from keras_decorr.decorrelators import ZCA
from keras_decorr.layers import DecorConv2D, Decorrelation
from tests import reference
from tests.helpers import (
    explicit,
    off_diagonal,
    relative_error,
    rows_of_covariance,
    stage_groups,
)

ETA, EPSILON = 0.1, 0.01


def make(**arguments):
    defaults = {"learning_rate": ETA, "epsilon": EPSILON, "sample_fraction": 1.0}
    return ZCA(**{**defaults, "max_samples": None, "structure": "full", **arguments})


def covariances(layer, groups, rng=None):
    """The (n, n) covariance of every stage, set to one that is not the identity if `rng` is given."""
    found = []
    for (variable,), stage in zip(layer.memory, groups, strict=True):
        if rng is not None:
            A = rng.normal(size=variable.shape) * 0.3
            variable.assign(np.eye(A.shape[-1]) + A @ A.swapaxes(-1, -2) / A.shape[-1])
        Sigma = ops.convert_to_numpy(variable).astype("float64")
        Sigma = Sigma if Sigma.ndim == 3 else Sigma[None]
        found.append(reference.assemble(Sigma, stage, layer.operator.n))
    return found


def expected_step(covariances, groups, matrices, z):
    new = []
    for Sigma, M, stage in zip(covariances, matrices, groups, strict=True):
        moved, root = np.zeros_like(M), np.zeros_like(M)
        for group in stage:
            block = np.ix_(group, group)
            moved[block], root[block] = reference.zca(Sigma[block], z[:, group], ETA, EPSILON)
        new.append((moved, root))
        z = z @ M.T
    return new


@pytest.mark.parametrize("method", ["newton_schulz", "eigh"])
@pytest.mark.parametrize("structure", ["full", "block_diagonal", "monarch"])
@pytest.mark.parametrize("k", [7, 200])
def test_dense_step_equals_the_equations(method, structure, k, rng):
    n, g = 48, 4
    layer = Decorrelation(make(method=method, structure=structure, groups=g))
    layer.build((None, n))
    groups = stage_groups(structure, n, g)
    before = covariances(layer, groups, rng)
    M = explicit(layer, groups)
    X = (rng.normal(size=(k, n)) @ rng.normal(size=(n, n)) / 7 + 0.5).astype("float32")
    layer(X, training=True)
    expected = expected_step(before, groups, M, X - X.astype("float64").mean(0))
    for Sigma, root, want in zip(
        covariances(layer, groups), explicit(layer, groups), expected, strict=True
    ):
        assert relative_error(Sigma, want[0]) < 1e-5
        assert relative_error(root, want[1]) < 1e-4  # the root of a matrix of condition 100


def test_convolution_step_equals_the_equations(rng):
    layer = DecorConv2D(3, (2, 3), padding="same", decorrelator=make())
    x = (rng.normal(size=(3, 5, 6, 2)) + 0.3).astype("float32")
    layer.build(x.shape)
    groups = stage_groups("full", 12, 1)
    before = covariances(layer.decorrelation, groups, rng)
    layer(x, training=True)
    X = reference.patches(x.astype("float64"), (2, 3), (1, 1), (1, 1), "same")
    ((Sigma, M),) = expected_step(before, groups, [np.eye(12)], X - X.mean(0))
    assert relative_error(covariances(layer.decorrelation, groups)[0], Sigma) < 1e-5
    assert relative_error(explicit(layer.decorrelation, groups)[0], M) < 1e-4


@pytest.mark.parametrize("method", ["newton_schulz", "eigh"])
def test_it_whitens_to_the_level_of_its_running_covariance(method, rng):
    """After `t` steps `Sigma = a I + (1 - a) S`, `a = (1 - eta)^t`: an eigenvalue `s` of the covariance
    S comes out as `s / (a + (1 - a) s + epsilon)`, which is white but for epsilon.
    """
    n, steps = 8, 60
    S = 0.8 ** np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    X = rows_of_covariance(rng, 64, S)
    layer = Decorrelation(make(method=method, center=False))
    for _ in range(steps):
        layer(X, training=True)
    s, Q = np.linalg.eigh(S)
    a = (1 - ETA) ** steps
    expected = Q @ np.diag(s / (a + (1 - a) * s + EPSILON)) @ Q.T
    U = ops.convert_to_numpy(layer(X)).astype("float64")
    C = U.T @ U / 64
    np.testing.assert_allclose(C, expected, atol=1e-3)  # float32, condition 50
    assert off_diagonal(C) < 1e-3 * off_diagonal(S)


def test_a_bad_batch_and_a_rate_of_zero_keep_everything(rng):
    x = rng.normal(size=(20, 6)).astype("float32")
    spoiled = x.copy()
    spoiled[2, 2] = np.inf
    layer = Decorrelation(make(structure="block_diagonal", groups=4, update_every=2))
    layer.build((None, 6))
    variables = [*layer.matrices, *(v for stage in layer.memory for v in stage)]
    start = [ops.convert_to_numpy(v).copy() for v in variables]
    layer(spoiled, training=True)
    assert int(layer.skipped_updates) == 1
    layer(x, training=True)  # not due
    for variable, value in zip(variables, start, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(variable), value)
    layer(x, training=True)
    for variable, value in zip(variables, start, strict=True):
        assert not np.array_equal(ops.convert_to_numpy(variable), value)
    still = Decorrelation(make(learning_rate=0.0))
    still(x, training=True)
    np.testing.assert_array_equal(ops.convert_to_numpy(still.matrices[0]), np.eye(6))


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"method": "cholesky"}, "method"),
        ({"epsilon": 0.0}, "epsilon"),
        ({"iterations": 0}, "iterations"),
        ({"learning_rate": 1.5}, "learning_rate"),
        ({"structure": "low_rank"}, "structure"),
    ],
)
def test_bad_arguments_are_named(arguments, named):
    with pytest.raises(ValueError, match=f"`{named}` of ZCA.*Received: "):
        ZCA(**arguments)
