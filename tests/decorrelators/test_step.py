"""One step as a pure function: what it returns of a state and rows, skipped or not."""

import numpy as np
import pytest
from keras import ops

from keras_decorr.decorrelators.sample import Pool
from keras_decorr.decorrelators.step import State, decorrelation_step, moving_mean
from keras_decorr.decorrelators.structures import BlockDiagonal, Full
from tests import reference
from tests.helpers import relative_error, undamped

ETA = 0.05


def numpy(x):
    return ops.convert_to_numpy(x)


def tensor(x, dtype="float32"):
    return ops.convert_to_tensor(np.asarray(x, dtype))


def rule(**arguments):
    return undamped(ETA, gain_rate=1.0, structure="full", **arguments)


def start(M, mean, steps=0, mean_count=20.0):
    counts = (tensor(steps, "int32"), tensor(0, "int32"))
    return State((tensor(M),), ((),), *counts, tensor(mean), tensor(mean_count))


@pytest.fixture
def given(rng):
    """M, the moving mean, and rows with their mean."""
    X = rng.normal(1.0, size=(9, 4))
    return np.eye(4) + 0.3 * rng.normal(size=(4, 4)), rng.normal(size=4), X, X.mean(0)


def test_a_step_changes_m_by_the_rule(given):
    M, mean, X, batch_mean = given
    rows = Pool(tensor(X), tensor(90.0), tensor(batch_mean))
    state, report = decorrelation_step(rule(), Full().for_features(4), start(M, mean), rows, ETA)
    Z = X - batch_mean
    U = Z @ M.T
    assert relative_error(numpy(state.matrices[0]), reference.norm_preserving(M, Z, U, ETA)) < 1e-5
    assert int(state.skipped) == 0
    C = U.T @ U / 9
    expected = np.mean(C[~np.eye(4, dtype=bool)] ** 2)
    assert float(report["decorrelation_loss"]) == pytest.approx(expected, rel=1e-5)
    assert (float(report["skipped_updates"]), float(report["updates"])) == (0.0, 1.0)


def test_weights_make_of_rows_what_repeating_them_does(given):
    M, mean, X, _ = given
    weights = np.arange(9)
    repeated = np.repeat(X, weights, axis=0)
    batch_mean = tensor(repeated.mean(0))
    found = []
    spoiled = X.copy()
    spoiled[0] = np.nan  # does not count
    for rows, of_rows in ((spoiled, tensor(weights)), (repeated, None)):
        rows = Pool(tensor(rows), tensor(36.0), batch_mean, of_rows)
        found.append(
            decorrelation_step(rule(), Full().for_features(4), start(M, mean), rows, ETA)[0]
        )
    np.testing.assert_allclose(
        numpy(found[0].matrices[0]), numpy(found[1].matrices[0]), rtol=1e-5, atol=1e-6
    )
    assert int(found[0].skipped) == 0


def test_a_step_that_is_not_finite_is_counted_and_changes_nothing(given):
    M, mean, X, batch_mean = given
    X[3, 1] = np.inf
    before = start(M, mean)
    rows = Pool(tensor(X), tensor(9.0), tensor(batch_mean))
    state, report = decorrelation_step(rule(), Full().for_features(4), before, rows, ETA)
    np.testing.assert_array_equal(numpy(state.matrices[0]), numpy(before.matrices[0]))
    assert int(state.skipped) == 1
    assert (float(report["skipped_updates"]), float(report["updates"])) == (1.0, 0.0)
    assert np.isfinite(float(report["decorrelation_loss"]))


def test_the_moving_mean_weights_batches_by_their_rows(given):
    M, mean, _, batch_mean = given
    state = moving_mean(start(M, mean), 0.5, tensor(90.0), tensor(batch_mean))
    # 20 remembered rows count by half, the new ones are 90.
    expected = (10 * mean + 90 * batch_mean) / 100
    np.testing.assert_allclose(numpy(state.mean), expected, rtol=1e-5, atol=1e-6)
    assert float(state.mean_count) == 100.0


@pytest.mark.parametrize("count, value", [(0.0, 1.0), (9.0, np.nan)])
def test_no_row_and_what_is_not_finite_leave_the_moving_mean(given, count, value):
    M, mean, _, batch_mean = given
    before = start(M, mean)
    state = moving_mean(before, 0.5, tensor(count), tensor(value * batch_mean))
    np.testing.assert_array_equal(numpy(state.mean), numpy(before.mean))
    assert float(state.mean_count) == 20.0


def test_the_loss_of_parts_leaves_out_what_is_between_them(given):
    _, mean, X, batch_mean = given
    operator = BlockDiagonal.of_parts(4, 2)
    state = start(operator.identities()[0], mean)
    rows = Pool(tensor(X), tensor(9.0), tensor(batch_mean))
    _, report = decorrelation_step(rule(), operator, state, rows, ETA, parts=2)
    Z = X - batch_mean
    C = Z.T @ Z / 9
    expected = (C[0, 1] ** 2 + C[2, 3] ** 2) / 2
    assert float(report["decorrelation_loss"]) == pytest.approx(expected, rel=1e-5)
