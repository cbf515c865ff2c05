"""How the M of a layer can fail (N. Ahmad, arXiv 2407.10780): it diverges, or it becomes singular."""

import math

import numpy as np
from keras import ops

# Multiply-adds up to which a look at all of M is cheap beside a hundred training steps.
_CHEAP = 2e9


def is_cheap(layer):
    """Whether the condition number of a layer's M is quick to compute."""
    shapes = [identity.shape for identity in layer.operator.identities()]
    return sum(shape[-1] * math.prod(shape) for shape in shapes) <= _CHEAP


def matrix_failure(layer, max_condition, max_gain, thorough=True):
    """What is wrong with the M of a layer.

    Args:
        layer: A built `Decorrelation`.
        max_condition: Above this condition number M is singular.
        max_gain: The largest singular value of M must lie between this and its inverse.
        thorough: Find singular values. Without, only what the size of the elements tells.

    Returns:
        A short text, or `None`.
    """
    matrices = [ops.convert_to_numpy(M).astype("float64") for M in layer.matrices]
    if not all(np.isfinite(M).all() for M in matrices):
        return "has diverged: it holds NaN or infinity"
    if not thorough:
        # sigma_max lies between the root mean square of its singular values and that of all together.
        size = math.prod(float(np.linalg.norm(M)) for M in matrices)
        largest = size / math.sqrt(layer.operator.n) if size > max_gain else size
        smallest = largest
    else:
        largest, smallest = layer.operator.singular_range(matrices)
    if largest > max_gain:
        return f"has diverged: its gain explodes to {largest:.1e}"
    if largest < 1.0 / max_gain:
        return f"vanishes: its gain is down to {largest:.1e}"
    if smallest * max_condition < largest:
        condition = largest / smallest if smallest > 0.0 else math.inf
        return f"is singular: its condition number is {condition:.1e}"
    return None
