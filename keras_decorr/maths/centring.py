"""The mean of a batch, and its gradient, in as few passes over it as can be."""

import math

import keras
from keras import ops

from keras_decorr.backend.devices import on_tensorflows_cpu


def with_mean(x, axes):
    """`x`, and its mean over `axes` in float32. Go on with this `x`, not with the one you had.

    Every element of `x` has the share `1 / count` in the mean, so the gradient of `x` is that of what
    becomes of `x`, plus the mean's over `count`, alike for all rows. TensorFlow by itself would write
    that constant out for every row, divide it, and add the two up: three times the memory traffic.

    Args:
        x: A tensor.
        axes: Axes to average over, rising.

    Returns:
        `(x, mean)`.
    """
    if keras.backend.backend() != "tensorflow":  # a compiler's matter, or a view
        return x, _mean(x, axes)

    @ops.custom_gradient
    def function(x):
        def gradient(dx, dmean):
            share = ops.expand_dims(dmean / ops.cast(_count(x, axes), "float32"), axes)
            return dx + ops.cast(share, dx.dtype)

        return (x, _mean(x, axes)), gradient

    return function(x)


def _mean(x, axes):
    x = ops.cast(x, "float32")
    if axes == (0,) and len(x.shape) > 1 and on_tensorflows_cpu():
        # A product with a row of ones takes half of the time there. A batch is short enough for its
        # order of summation; all positions of all images would not be.
        rows, *rest = ops.shape(x)
        ones = ops.ones((1, rows), "float32")
        sums = ops.matmul(ones, ops.reshape(x, (rows, math.prod(rest))))
        return ops.reshape(sums, rest) / ops.cast(rows, "float32")
    return ops.mean(x, axis=axes)


def _count(x, axes):
    return math.prod(ops.shape(x)[axis] for axis in axes)
