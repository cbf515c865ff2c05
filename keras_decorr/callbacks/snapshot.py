"""Copies of the variables of a model, to restore while it trains."""

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
from keras import ops


class Snapshot:
    """Copies the values of variables and restores them.

    Args:
        variables: Keras variables. The copies stay on their device.
    """

    def __init__(self, variables: Iterable[keras.Variable]) -> None:
        self._kept = [(variable, _copy(variable)) for variable in variables]

    def restore(self) -> None:
        """Assigns the copied values to the variables."""
        for variable, copy in self._kept:
            # A copy of the copy: JAX hands the buffer of a variable on to the training step.
            variable.assign(_copy(copy))


def is_float(variable: keras.Variable) -> bool:
    """Returns whether a variable can hold NaN."""
    return "float" in keras.backend.standardize_dtype(variable.dtype)


def finite(variables: Iterable[keras.Variable]) -> list[bool]:
    """Returns for each variable whether all its values are finite."""
    found = [
        ops.all(ops.isfinite(ops.convert_to_tensor(v))) if is_float(v) else True for v in variables
    ]
    if not found:
        return []
    return [bool(good) for good in np.asarray(ops.convert_to_numpy(ops.stack(found)))]


def _copy(value: Any) -> Any:
    return ops.stop_gradient(ops.copy(ops.convert_to_tensor(value)))
