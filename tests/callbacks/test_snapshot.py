"""Copies of variables that survive what happens to the variables."""

import keras
import numpy as np
from keras import ops

from keras_decorr.callbacks.snapshot import Snapshot, finite, is_float


def test_it_restores_more_than_once():
    variables = [
        keras.Variable(np.full((2, 3), 1.5)),
        keras.Variable(7, dtype="int32", trainable=False),
    ]
    snapshot = Snapshot(variables)
    for _ in range(2):
        for variable in variables:
            variable.assign(ops.zeros(variable.shape))
        snapshot.restore()
        np.testing.assert_array_equal(ops.convert_to_numpy(variables[0]), np.full((2, 3), 1.5))
        assert int(variables[1]) == 7


def test_finite_names_the_variables_that_are_not():
    good, counts = (
        keras.Variable(np.ones(3)),
        keras.Variable([1, 2], dtype="int32", trainable=False),
    )
    bad = [keras.Variable(np.array([1.0, value])) for value in (np.nan, np.inf, -np.inf)]
    assert finite([good, *bad, counts]) == [True, False, False, False, True]
    assert finite([]) == []
    assert [is_float(v) for v in (good, counts)] == [True, False]
