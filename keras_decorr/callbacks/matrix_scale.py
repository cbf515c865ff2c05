"""Detects an M that diverges or becomes singular (N. Ahmad, arXiv 2407.10780)."""

import math
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from keras_decorr.layers import Decorrelation

# Multiply-adds up to which a look at all of M is cheap beside a hundred training steps.
_CHEAP = 2e9
_PROBES = 8


def is_cheap(layer: Decorrelation) -> bool:
    """Returns whether the condition number of a layer's M is quick to compute."""
    shapes = layer.operator.shapes
    return bool(sum(shape[-1] * math.prod(shape) for shape in shapes) <= _CHEAP)


class MatrixScale(NamedTuple):
    """Holds bounds on the singular values of the M of a layer.

    Attributes:
        finite: Whether all its elements are finite; if not, nothing else is known.
        least_gain: The largest singular value is this or more.
        most_gain: It is this or less.
        smallest: The smallest one.
    """

    finite: bool
    least_gain: float = math.nan
    most_gain: float = math.nan
    smallest: float = math.nan

    def failure(self, max_condition: float, max_gain: float) -> str | None:
        """Describes how M has failed in a short text, or returns `None`.

        Args:
            max_condition: Above this condition number M is singular.
            max_gain: The largest singular value must lie between this and its inverse.
        """
        if not self.finite:
            return "has diverged: it holds NaN or infinity"
        if self.least_gain > max_gain:
            return f"has diverged: its gain explodes to {self.least_gain:.1e}"
        if self.most_gain < 1.0 / max_gain:
            return f"vanishes: its gain is down to {self.most_gain:.1e}"
        if self.smallest * max_condition < self.most_gain:
            condition = self.most_gain / self.smallest if self.smallest > 0.0 else math.inf
            return f"is singular: its condition number is {condition:.1e}"
        return None


def matrix_scale(layer: Decorrelation, thorough: bool = True) -> MatrixScale:
    """Computes the `MatrixScale` of a built `Decorrelation`.

    Args:
        layer: The layer.
        thorough: Find singular values. Without, only what M does to a few random vectors: of the
            smallest one that tells nothing, and it is taken to be as large as the largest.
    """
    matrices = [ops.convert_to_numpy(M).astype("float64") for M in layer.matrices]
    if not all(np.isfinite(M).all() for M in matrices):
        return MatrixScale(finite=False)
    if not thorough:
        least = float(np.max(_gains(layer.operator, matrices)))
        # The mean square of the singular values is about that of the gains, and sigma_max^2 at most
        # their sum.
        most = math.sqrt(layer.operator.n) * least
        return MatrixScale(True, least, most, most)
    largest, smallest = layer.operator.singular_range(matrices)
    return MatrixScale(True, largest, largest, smallest)


def _gains(operator: Any, matrices: list[np.ndarray]) -> np.ndarray:
    """Computes `||M v|| / ||v||` for a few random vectors `v`."""
    V = np.random.default_rng(0).normal(size=(_PROBES, operator.n)).astype("float32")
    tensors = [ops.convert_to_tensor(M, "float32") for M in matrices]
    U = operator.apply(tensors, ops.convert_to_tensor(V))
    norms = np.linalg.norm(ops.convert_to_numpy(U).astype("float64"), axis=-1)
    return np.asarray(np.nan_to_num(norms / np.linalg.norm(V, axis=-1), nan=np.inf))
