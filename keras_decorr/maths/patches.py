"""Patches of a convolution, computed only where they are needed.

A convolution is a linear map on patches: of an image, `n = kh kw c_in`. All patches of a batch are
`n / c_in` times the batch; the statistics need a few of them and their mean, and the sum of all
patches is a linear function of the sum of the images. An image here has any number of spatial axes.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from keras import ops

from keras_decorr.typing import Tensor


class Window(NamedTuple):
    """Arguments of a convolution along one axis of an image. `padding` is that of a Keras layer."""

    kernel: int
    stride: int
    dilation: int
    padding: str

    def positions(self, size: Any) -> Any:
        """Returns the number of output positions along an axis of `size` pixels."""
        if self.padding == "valid":
            return (size - self.extent) // self.stride + 1
        return -(-size // self.stride)

    @property
    def extent(self) -> int:
        """Pixels from the first tap to the last."""
        return (self.kernel - 1) * self.dilation + 1

    def before(self, size: Any) -> Any:
        """Returns the number of zeros before the axis; an odd one of `same` comes after it."""
        if self.padding == "valid":
            return 0
        if self.padding == "causal":
            return self.extent - 1
        pad = (self.positions(size) - 1) * self.stride + self.extent - size
        return (max(pad, 0) if isinstance(pad, int) else ops.maximum(pad, 0)) // 2


def patches_at(images: Tensor, index: Tensor, windows: Sequence[Window]) -> Tensor:
    """Returns the patches at given positions, with zeros beyond the border.

    Args:
        images: `(b, *sizes, c)`.
        index: `(k,)` int32, a position in the flattened `(b, *positions)`.
        windows: A `Window` for each spatial axis.

    Returns:
        `(k, taps, c)`, the taps in the order of a flattened kernel.
    """
    _b, *sizes, c = _shape(images)
    rank = len(windows)
    pixel, inside, left = 0, True, index
    places = [w.positions(size) for w, size in zip(windows, sizes, strict=True)]
    # From the last axis to the first, as the index counts; a pixel's number is put together likewise.
    stride = 1
    for axis in reversed(range(rank)):
        w, size, count = windows[axis], sizes[axis], places[axis]
        start = left % count * w.stride - w.before(size)
        left = left // count
        tap = ops.arange(w.kernel, dtype="int32") * w.dilation
        at = ops.reshape(start, (-1, *[1] * rank)) + ops.reshape(
            tap, (1, *(-1 if axis == other else 1 for other in range(rank)))
        )
        inside = inside & (at >= 0) & (at < size)
        pixel = pixel + ops.clip(at, 0, size - 1) * stride
        stride = stride * size
    pixel = pixel + ops.reshape(left, (-1, *[1] * rank)) * stride
    taken = ops.take(ops.reshape(images, (-1, c)), pixel, axis=0)
    taken = ops.where(ops.expand_dims(inside, -1), taken, ops.zeros((), taken.dtype))
    return ops.reshape(taken, (-1, math.prod(w.kernel for w in windows), c))


def patch_sum(image: Tensor, windows: Sequence[Window]) -> Tensor:
    """Returns the sum of the patches of one image over all positions.

    The sum over a batch is the `patch_sum` of the sum of its images. A tap sees some pixels of each
    axis, so the result is the image times a small matrix of zeros and ones for each axis.

    Args:
        image: `(*sizes, c)`.
        windows: A `Window` for each spatial axis.

    Returns:
        `(taps, c)`.
    """
    *sizes, c = _shape(image)
    for axis, (w, size) in enumerate(zip(windows, sizes, strict=True)):
        # The axes before are taps already.
        before = math.prod(other.kernel for other in windows[:axis])
        seen = _seen(w, size, image.dtype)
        image = ops.matmul(seen, ops.reshape(image, (before, size, -1)))
    return ops.reshape(image, (-1, c))


def _shape(x: Tensor) -> list:
    return [s if s is not None else d for s, d in zip(x.shape, ops.shape(x), strict=True)]


def _seen(window: Window, size: Any, dtype: Any) -> Tensor:
    """Returns `(kernel, size)` zeros and ones: whether a tap sees a pixel from some position."""
    tap = ops.arange(window.kernel, dtype="int32") * window.dilation - window.before(size)
    count = window.positions(size)
    # A tap sees a pixel from the position that starts so many pixels before it, if there is one.
    start = ops.arange(size, dtype="int32")[None] - tap[:, None]
    seen = (start % window.stride == 0) & (start >= 0) & (start < count * window.stride)
    return ops.cast(seen, dtype)
