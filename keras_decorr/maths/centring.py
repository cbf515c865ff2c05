"""Sums a batch, with its gradient, in as few passes over the batch as possible."""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_decorr.backend.devices import on_tensorflows_cpu
from keras_decorr.typing import Tensor


def with_sum(x: Tensor, axes: Sequence[int]) -> Any:
    """Returns `x` and its sum over `axes` in float32. Use the returned `x` from here on.

    Every element of `x` enters the sum once, so the gradient of `x` is the gradient of its other uses
    plus the gradient of the sum, which is the same for all rows. TensorFlow by itself would write that
    constant out for every row and then add the two: three times the memory traffic.

    Args:
        x: A tensor.
        axes: Axes to sum over, rising.

    Returns:
        `(x, sum)`.
    """
    if keras.backend.backend() != "tensorflow":  # XLA fuses it; on PyTorch it is a view
        return x, _sum(x, axes)

    @ops.custom_gradient
    def function(x: Tensor) -> tuple:
        def gradient(dx: Tensor, dsum: Tensor) -> Tensor:
            return dx + ops.cast(ops.expand_dims(dsum, axes), dx.dtype)

        return (x, _sum(x, axes)), gradient

    return function(x)


def count_rows(x: Tensor, axes: Sequence[int]) -> Tensor:
    """Returns the number of elements that a sum over `axes` adds up, as a float32 scalar."""
    return ops.cast(math.prod(ops.shape(x)[axis] for axis in axes), "float32")


def _sum(x: Tensor, axes: Sequence[int]) -> Tensor:
    x = ops.cast(x, "float32")
    if axes == (0,) and len(x.shape) > 1 and on_tensorflows_cpu():
        # A product with a row of ones takes half of the time there. A batch is short enough for its
        # order of summation; all positions of all images would not be.
        rows, *rest = ops.shape(x)
        ones = ops.ones((1, rows), "float32")
        return ops.reshape(ops.matmul(ones, ops.reshape(x, (rows, math.prod(rest)))), rest)
    return ops.sum(x, axis=axes)
