"""Computes the angle between two updates, such as a learning rule's and the gradient.

T. P. Lillicrap et al., "Random synaptic feedback weights support error backpropagation for deep
learning", Nature Communications 7, 13276 (2016): below 90 degrees an update lowers the loss.
"""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_decorr.typing import Tensor


def angle(a: Tensor, b: Tensor) -> float:
    """Computes the angle between two arrays, taken as vectors, in degrees.

    Computed as `2 atan2(|u - v|, |u + v|)` of the unit vectors (W. Kahan), which is exact to rounding
    at small angles, too, where the arc cosine is not.

    Args:
        a: Array or tensor.
        b: Another of the same size.

    Returns:
        A float in [0, 180]; NaN if one of them is zero.

    Raises:
        ValueError: If they differ in size.

    Example:

    >>> import keras_decorr
    >>> round(keras_decorr.metrics.angle([1.0, 0.0], [1.0, 1.0]), 6)
    45.0
    """
    a, b = (np.ravel(ops.convert_to_numpy(x)).astype("float64") for x in (a, b))
    if a.size != b.size:
        raise ValueError(
            f"`angle` needs arrays of one size. Received: {a.size} and {b.size} values"
        )
    norms = np.linalg.norm(a), np.linalg.norm(b)
    if 0.0 in norms:
        return math.nan
    u, v = a / norms[0], b / norms[1]
    return math.degrees(2.0 * math.atan2(np.linalg.norm(u - v), np.linalg.norm(u + v)))


@keras.saving.register_keras_serializable(package="keras_decorr")
class AlignmentAngle(keras.metrics.Mean):
    """Computes the mean angle between the rows of two batches of tensors, in degrees.

    Rows of which one is zero have no angle, and are left out; with no others the result is 0.

    Args:
        name: Name of the metric. Defaults to `"alignment_angle"`.
        dtype: As in every Keras metric.

    Raises:
        ValueError: In `update_state`, if the two batches differ in shape.

    Example:

    >>> import numpy as np, keras_decorr
    >>> metric = keras_decorr.metrics.AlignmentAngle()
    >>> metric.update_state(np.array([[1.0, 0.0], [0.0, 2.0]]), np.array([[0.0, 1.0], [0.0, 3.0]]))
    >>> round(float(metric.result()), 4)
    45.0
    """

    def __init__(self, name: str = "alignment_angle", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)

    def update_state(self, a: Tensor, b: Tensor, sample_weight: Tensor = None) -> Any:
        """Adds a pair of batches to the mean.

        Args:
            a: `(batch, ...)` tensor.
            b: Another of the same shape.
            sample_weight: `(batch,)` weights, or `None`.
        """
        a, b = (ops.convert_to_tensor(x, dtype="float32") for x in (a, b))
        if len(a.shape) == 0 or len(a.shape) != len(b.shape) or tuple(a.shape) != tuple(b.shape):
            raise ValueError(
                "AlignmentAngle needs two batches of one shape, (batch, ...). "
                f"Received: shapes {tuple(a.shape)} and {tuple(b.shape)}"
            )
        a, b = (ops.reshape(x, (ops.shape(x)[0], -1)) for x in (a, b))
        a, b, kept = *map(_unit, (a, b)), ops.logical_and(_nonzero(a), _nonzero(b))
        angles = 2.0 * ops.arctan2(_norm(a - b), _norm(a + b)) * (180.0 / math.pi)
        weights = ops.cast(kept, "float32")
        if sample_weight is not None:
            weights = weights * ops.cast(ops.convert_to_tensor(sample_weight), "float32")
        return super().update_state(angles, weights)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype}


def _norm(x: Tensor) -> Tensor:
    return ops.sqrt(ops.sum(ops.square(x), axis=-1))


def _nonzero(x: Tensor) -> Tensor:
    return ops.any(ops.not_equal(x, 0.0), axis=-1)


def _unit(x: Tensor) -> Tensor:
    # Scaled before, so that no square of a small gradient is lost.
    x = x / ops.maximum(ops.max(ops.abs(x), axis=-1, keepdims=True), 1e-37)
    return x / ops.maximum(ops.expand_dims(_norm(x), -1), 1e-37)
