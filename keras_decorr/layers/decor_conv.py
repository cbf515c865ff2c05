"""The base class of the decorrelating convolutions (N. Ahmad, arXiv 2407.10780)."""

import math
from collections.abc import Sequence
from typing import Any

from keras import ops

from keras_decorr.decorrelators.cost import Work
from keras_decorr.decorrelators.sample import Sample
from keras_decorr.layers.decor_layer import DecorLayer
from keras_decorr.maths.centring import count_rows, with_sum
from keras_decorr.maths.patches import Window, patch_sum, patches_at
from keras_decorr.maths.sampling import sample_count, sample_rows
from keras_decorr.typing import Shape, Tensor


class DecorConv(DecorLayer):
    """A convolution on decorrelated patches.

    The linear map works on patches of `kernel positions x channels` values (taps x channels). M is
    folded into the kernel (`K_eff = M^T K`) and one ordinary convolution runs; patches are only cut out
    where M learns from them. They are centred after padding, so the mean folds into the bias at the
    border, too. The parts of a grouped convolution see channels of their own, so each has an M of its
    own.

    With `rows="pixels"` the rows are pixels rather than patches, and M is the same for all taps.
    """

    @property
    def windows(self) -> list[Window]:
        """A `Window` for each spatial axis."""
        layer = self
        return [
            Window(kernel, stride, dilation, layer.padding)
            for kernel, stride, dilation in zip(
                layer.kernel_size, layer.strides, layer.dilation_rate, strict=True
            )
        ]

    @property
    def pixelwise(self) -> bool:
        """Whether the rows are pixels rather than patches."""
        return self.decorrelation is not None and self.decorrelator.rows == "pixels"

    def parts_of(self, channels: int) -> Any:
        """Returns the number of equal parts of the channels, each with filters of its own."""
        return self.groups

    def check_inputs(self, input_shape: Shape) -> None:
        name, rank = type(self).__name__, len(self.kernel_size)
        if len(input_shape) != rank + 2:
            raise ValueError(
                f"{name} needs inputs of rank {rank + 2}, a batch of images with {rank} spatial axes. "
                f"Received: input_shape={input_shape}"
            )
        channels = input_shape[-1 if self.data_format == "channels_last" else 1]
        if channels is None:
            raise ValueError(
                f"The number of channels of the inputs of {name} must be known, as it gives M its "
                f"size. Define it in `keras.Input`. Received: input_shape={input_shape}, "
                f"data_format={self.data_format!r}"
            )
        self.parts, self.channels = self.parts_of(channels), channels
        if channels % self.parts:
            raise ValueError(
                f"Argument `groups` of {name} must divide the channels of the inputs. "
                f"Received: groups={self.parts}, input_shape={input_shape}"
            )

    def work(self, input_shape: Shape) -> tuple[Work, int]:
        last = self.data_format == "channels_last"
        sizes = input_shape[1:-1] if last else input_shape[2:]
        return self._work(sizes), self.channels if self.pixelwise else self.taps * self.channels

    def _work(self, sizes: Sequence) -> Work:
        filters = self.compute_output_shape(self._spec(sizes))[
            -1 if self.data_format == "channels_last" else 1
        ]
        columns = filters // self.parts * (self.taps if self.pixelwise else 1)
        return Work(self._positions(sizes), columns, True, self.parts, self.pixelwise)

    def _spec(self, sizes: Sequence) -> Shape:
        if self.data_format == "channels_last":
            return (None, *sizes, self.channels)
        return (None, self.channels, *sizes)

    def _positions(self, sizes: Sequence) -> int:
        if None in sizes:
            return 1
        return math.prod(w.positions(s) for w, s in zip(self.windows, sizes, strict=True))

    @property
    def taps(self) -> Any:
        """Positions of the kernel."""
        return math.prod(self.kernel_size)

    # --- the kernel as a matrix ---------------------------------------------------------------

    # Kernels are (*kernel_size, channels of a part, filters of all parts), those of a depthwise
    # convolution (*kernel_size, channels, multiplier); either is (taps, c, parts, f) with c channels
    # and f filters a part. Rows are the features part by part: patches (parts, taps, c), pixels
    # (parts, c).

    def matrix(self, K: Tensor) -> Tensor:
        if self.parts == 1 and not self.pixelwise:
            return ops.reshape(K, (-1, K.shape[-1]))
        K = ops.reshape(K, self._split)
        order = (2, 1, 0, 3) if self.pixelwise else (2, 0, 1, 3)
        return ops.reshape(ops.transpose(K, order), (self.features, -1))

    def of_matrix(self, K: Tensor) -> Tensor:
        shape = self.kernel.shape
        if self.parts == 1 and not self.pixelwise:
            return ops.reshape(K, shape)
        taps, c, parts, f = self._split
        if self.pixelwise:
            K = ops.transpose(ops.reshape(K, (parts, c, taps, f)), (2, 1, 0, 3))
        else:
            K = ops.transpose(ops.reshape(K, (parts, taps, c, f)), (1, 2, 0, 3))
        return ops.reshape(K, shape)

    @property
    def _split(self) -> tuple[int, int, int, int]:
        """`(taps, c, parts, f)`: channels and filters of a part."""
        size, c = math.prod(self.kernel.shape), self.channels // self.parts
        return self.taps, c, self.parts, size // (self.taps * self.channels)

    def shift(self, mean: Tensor, K: Tensor) -> Tensor:
        K = ops.reshape(self.matrix(K), (self.parts, self.features // self.parts, -1))
        sums = ops.matmul(ops.reshape(mean, (self.parts, 1, -1)), K)
        if self.pixelwise:  # a pixel meets every tap
            sums = ops.sum(ops.reshape(sums, (self.parts, self.taps, -1)), axis=1)
        return ops.reshape(sums, (-1,))

    # --- statistics ---------------------------------------------------------------------------

    def row_sum(self, x: Tensor, mask: Tensor = None) -> Any:
        if self.pixelwise:
            return with_sum(x, self._pixel_axes(x))
        x, image = with_sum(x, (0,))
        return x, self._rows(patch_sum(self._channels_last(image), self.windows))

    def row_count(self, x: Tensor, mask: Tensor = None) -> Tensor:
        if self.pixelwise:
            return count_rows(x, self._pixel_axes(x))
        return ops.cast(math.prod([ops.shape(x)[0], *self._places(x)]), "float32")

    def observe(self, x: Tensor, count: Tensor, means: Any, mask: Tensor = None) -> None:
        if self.pixelwise:
            self.decorrelation.observe(self._channels_last(x), count, means)
            return
        places = self._places(x)

        def patches() -> Tensor:
            k = sample_count(ops.shape(x)[0], self.decorrelator.sample_fraction)
            images = self._channels_last(x)[:k]
            rows = math.prod([ops.shape(images)[0], *places])
            index = sample_rows(rows, self.decorrelation.most_rows, self.decorrelation.steps)
            rows = self._rows(patches_at(images, index, self.windows))
            return ops.reshape(rows, (-1, self.features))

        known = [p if isinstance(p, int) else None for p in places]
        expected = self.decorrelation.expected_rows((x.shape[0], *known))
        self.decorrelation.keep(Sample(patches, count, means, None, expected))

    def _pixel_axes(self, x: Tensor) -> tuple[int, ...]:
        """Returns all axes of a batch except that of the channels."""
        axes = [*range(len(x.shape))]
        axes.pop(-1 if self.data_format == "channels_last" else 1)
        return tuple(axes)

    def _places(self, x: Tensor) -> list:
        """Returns the number of output positions along each spatial axis."""
        last = self.data_format == "channels_last"
        sizes = ops.shape(x)[1:-1] if last else ops.shape(x)[2:]
        return [w.positions(size) for w, size in zip(self.windows, sizes, strict=True)]

    def _rows(self, patches: Tensor) -> Tensor:
        """Returns patches `(..., taps, c)` as features, part by part."""
        if self.parts == 1:
            return ops.reshape(patches, (*ops.shape(patches)[:-2], -1))
        leading = ops.shape(patches)[:-2]
        patches = ops.reshape(patches, (-1, self.taps, self.parts, self.channels // self.parts))
        return ops.reshape(ops.transpose(patches, (0, 2, 1, 3)), (*leading, -1))

    def _channels_last(self, images: Tensor) -> Tensor:
        if self.data_format == "channels_last":
            return images
        axis = -1 - len(self.kernel_size)
        return ops.moveaxis(images, axis, -1)
