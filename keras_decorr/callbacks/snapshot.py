"""Copies of the variables of a model while it trains, to go back to."""

import keras
import numpy as np
from keras import ops


class Snapshot:
    """Copies of variables on their device.

    Args:
        variables: A list of Keras variables.
        values: Their present values, if they are not in the variables: see `present_values`.
    """

    def __init__(self, variables, values=None):
        self._variables = variables
        self._copies = [_copy(value) for value in (variables if values is None else values)]

    def restore(self):
        """Give the variables the values they had."""
        for variable, copy in zip(self._variables, self._copies, strict=True):
            # A copy of the copy: JAX hands the buffer of a variable on to the training step.
            variable.assign(_copy(copy))


def is_float(variable):
    """Whether a variable can hold a NaN."""
    return "float" in keras.backend.standardize_dtype(variable.dtype)


def finite(variables):
    """For each of these variables, whether all of it is finite: a list of booleans."""
    found = [
        ops.all(ops.isfinite(ops.convert_to_tensor(v))) if is_float(v) else True for v in variables
    ]
    if not found:
        return []
    return np.asarray(ops.convert_to_numpy(ops.stack(found))).tolist()


def _copy(value):
    return ops.stop_gradient(ops.copy(ops.convert_to_tensor(value)))
