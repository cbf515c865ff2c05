"""A full M is the matrix that its one variable holds."""

import numpy as np
from keras import ops

from keras_decorr.decorrelators.structures import Full
from tests.helpers import relative_error


def test_it_applies_and_folds_its_matrix(rng):
    operator = Full().for_features(7)
    M, Z, K = (rng.normal(size=shape).astype("float32") for shape in ((7, 7), (5, 7), (7, 3)))
    matrices = [ops.convert_to_tensor(M)]
    assert relative_error(ops.convert_to_numpy(operator.apply(matrices, Z)), Z @ M.T) < 1e-6
    assert relative_error(ops.convert_to_numpy(operator.fold(matrices, K)), M.T @ K) < 1e-6
    values = np.linalg.svd(M.astype("float64"), compute_uv=False)
    found = operator.singular_range([M.astype("float64")])
    np.testing.assert_allclose(found, (values[0], values[-1]))
