"""M from rows at once, as a pure function: weighted rows, and the stages in their order."""

import numpy as np
import pytest
from keras import ops

from keras_decorr.decorrelators import NormPreserving
from keras_decorr.decorrelators.adaptation import adapted
from keras_decorr.decorrelators.sample import Pool
from keras_decorr.decorrelators.structures import Full, Monarch


def numpy(x):
    return ops.convert_to_numpy(x)


def pooled(X, weights=None):
    mean = np.average(X, axis=0, weights=weights)
    tensors = [ops.convert_to_tensor(np.asarray(x, "float32")) for x in (X, mean)]
    count = ops.convert_to_tensor(float(len(X) if weights is None else weights.sum()))
    w = None if weights is None else ops.convert_to_tensor(weights.astype("float32"))
    return Pool(tensors[0], count, tensors[1], w)


def test_weights_make_of_rows_what_repeating_them_does(rng):
    X, weights = rng.normal(size=(30, 5)) @ rng.normal(size=(5, 5)), np.arange(30)
    rule, operator = NormPreserving(), Full().for_features(5)
    found = [
        numpy(adapted(rule, operator, sample, 1.0)[0][0])
        for sample in (pooled(X, weights), pooled(np.repeat(X, weights, axis=0)))
    ]
    np.testing.assert_allclose(*found, rtol=1e-3, atol=1e-4)


def test_a_stage_learns_from_what_the_one_before_it_leaves(rng):
    X = rng.normal(size=(200, 16)) @ rng.normal(size=(16, 16))
    operator = Monarch(groups=4).for_features(16)
    matrices, memory = adapted(NormPreserving(), operator, pooled(X), 0.1)
    assert memory == ((), ())
    Z = ops.convert_to_tensor((X - X.mean(0)).astype("float32"))
    (_, between), (second, _) = operator.run(matrices, Z)
    assert numpy(between).shape == numpy(second).shape
    stage = operator.stages(matrices, Z, ops.sum(ops.square(Z), axis=-1))[0][1]
    rows = numpy(stage.Z).astype("float64")  # (g, m, k)
    C = rows @ rows.swapaxes(-1, -2) / 200
    d = 0.1 * np.trace(C, axis1=-2, axis2=-1).mean() / C.shape[-1]
    values, V = np.linalg.eigh(C + d * np.eye(C.shape[-1]))
    expected = V / np.sqrt(values)[:, None] @ V.swapaxes(-1, -2)
    M = numpy(matrices[1])
    np.testing.assert_allclose(M / M[0, 0, 0], expected / expected[0, 0, 0], rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("rows", [1, 3])
def test_few_rows_and_no_variance_leave_m_finite(rows):
    operator = Full().for_features(4)
    matrices, _ = adapted(NormPreserving(), operator, pooled(np.ones((rows, 4))), 10.0)
    np.testing.assert_allclose(numpy(matrices[0]), np.eye(4), atol=1e-6)
