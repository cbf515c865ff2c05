"""How many features an M of a plain layer would have, before it is made."""

import math
from typing import Any

from keras import layers

from keras_decorr.backend.keras_internals import attention_projections


def features(layer: Any, rows: str) -> int | None:
    """The number of features of one M of a built Keras layer, or `None` where it is not known.

    Of a layer with several M it is that of the largest. The parts of a grouped convolution have an M
    each.

    Args:
        layer: The layer.
        rows: `"patches"` or `"pixels"`, which leaves the positions of a convolution's kernel out.
    """
    if isinstance(layer, layers.TimeDistributed):
        return features(layer.layer, rows)
    if isinstance(layer, layers.MultiHeadAttention | layers.GroupQueryAttention):
        projections = attention_projections(layer).values()
        known = [features(projection, rows) for projection in projections]
        return max(n for n in known if n is not None)
    if isinstance(layer, layers.LSTM | layers.GRU | layers.SimpleRNN):
        return int(layer.cell.kernel.shape[0])
    if isinstance(layer, layers.SeparableConv1D | layers.SeparableConv2D):
        positions = 1 if rows == "pixels" else math.prod(layer.kernel_size)
        return max(positions, int(layer.pointwise_kernel.shape[-2]))
    if isinstance(layer, layers.DepthwiseConv1D | layers.DepthwiseConv2D):
        return int(math.prod(layer.kernel_size))
    kernel = getattr(layer, "kernel", None)
    if kernel is None:
        return None
    if isinstance(layer, layers.EinsumDense):
        return _summed(layer.equation, kernel.shape)
    if isinstance(layer, layers.Conv1DTranspose | layers.Conv2DTranspose | layers.Conv3DTranspose):
        return int(kernel.shape[-1])
    if rows == "pixels":
        return int(kernel.shape[-2])  # of a matrix, its rows
    return int(math.prod(kernel.shape[:-1]))


def _summed(equation: str, shape: Any) -> int:
    """The product of the axes of an einsum's kernel that the output lacks."""
    left, output = equation.replace(" ", "").split("->")
    kernel = left.split(",")[1]
    return math.prod(size for axis, size in zip(kernel, shape, strict=True) if axis not in output)
