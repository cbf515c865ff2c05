"""Patches of a convolution, only where they are needed.

A convolution is a linear map on patches, `n = kh kw c_in`. All patches of a batch are `n / c_in`
times the batch; the statistics need a few of them and their mean, and the mean of all patches is a
linear function of the mean image.
"""

from typing import NamedTuple

from keras import ops


class Window(NamedTuple):
    """How a convolution slides along one axis of an image."""

    kernel: int
    stride: int
    dilation: int
    same: bool

    def positions(self, size):
        """Number of output positions along an axis of `size` pixels."""
        if self.same:
            return -(-size // self.stride)
        return (size - self.extent) // self.stride + 1

    @property
    def extent(self):
        """Pixels from the first tap to the last."""
        return (self.kernel - 1) * self.dilation + 1

    def before(self, size):
        """Zeros before the axis: TensorFlow's `same`, the odd one comes after."""
        if not self.same:
            return 0
        pad = (self.positions(size) - 1) * self.stride + self.extent - size
        return (max(pad, 0) if isinstance(pad, int) else ops.maximum(pad, 0)) // 2


def patches_at(images, index, window_h, window_w):
    """The patches at given positions, zeros where they reach over the border.

    Args:
        images: `(b, h, w, c)`.
        index: `(k,)` int32, a position in the flattened `(b, positions_h, positions_w)`.
        window_h: `Window` along the height.
        window_w: `Window` along the width.

    Returns:
        `(k, kh kw c)`, the features in the order of a flattened kernel.
    """
    _b, h, w, c = (
        s if s is not None else d for s, d in zip(images.shape, ops.shape(images), strict=True)
    )
    ph, pw = window_h.positions(h), window_w.positions(w)
    top = (index // pw) % ph * window_h.stride - window_h.before(h)
    left = index % pw * window_w.stride - window_w.before(w)
    tap_h = ops.arange(window_h.kernel, dtype="int32") * window_h.dilation
    tap_w = ops.arange(window_w.kernel, dtype="int32") * window_w.dilation
    rows = ops.reshape(top, (-1, 1, 1)) + ops.reshape(tap_h, (1, -1, 1))
    columns = ops.reshape(left, (-1, 1, 1)) + ops.reshape(tap_w, (1, 1, -1))
    inside = (rows >= 0) & (rows < h) & (columns >= 0) & (columns < w)
    image = ops.reshape(index // (ph * pw), (-1, 1, 1))
    pixel = (image * h + ops.clip(rows, 0, h - 1)) * w + ops.clip(columns, 0, w - 1)
    taken = ops.take(ops.reshape(images, (-1, c)), pixel, axis=0)
    taken = ops.where(ops.expand_dims(inside, -1), taken, ops.zeros((), taken.dtype))
    return ops.reshape(taken, (-1, window_h.kernel * window_w.kernel * c))


def mean_patch(image, window_h, window_w):
    """The mean over all positions of the patches of one (mean) image.

    Tap `(i, j)` of the patch sees each pixel in a known share of the positions, so the mean is
    `A_h image A_w^T` with a small matrix of shares per axis.

    Args:
        image: `(h, w, c)`.
        window_h: `Window` along the height.
        window_w: `Window` along the width.

    Returns:
        `(kh kw c,)`.
    """
    h, w, c = (
        s if s is not None else d for s, d in zip(image.shape, ops.shape(image), strict=True)
    )
    over_h = ops.matmul(_shares(window_h, h, image.dtype), ops.reshape(image, (h, w * c)))
    over_h = ops.reshape(over_h, (window_h.kernel, w, c))
    over_w = ops.matmul(_shares(window_w, w, image.dtype), over_h)
    return ops.reshape(over_w, (-1,))


def _shares(window, size, dtype):
    """`(kernel, size)`: the share of the positions at which a tap sees a pixel."""
    tap = ops.arange(window.kernel, dtype="int32") * window.dilation - window.before(size)
    place = ops.arange(window.positions(size), dtype="int32") * window.stride
    seen = ops.reshape(tap, (-1, 1, 1)) + ops.reshape(place, (1, -1, 1))
    hit = ops.equal(seen, ops.reshape(ops.arange(size, dtype="int32"), (1, 1, -1)))
    return ops.mean(ops.cast(hit, dtype), axis=1)
