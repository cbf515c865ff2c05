"""A dense layer of any shape on decorrelated inputs (N. Ahmad, arXiv 2407.10780)."""

import math
import string
from typing import Any

import keras
from keras import ops

from keras_decorr.decorrelators.cost import Work
from keras_decorr.layers.decor_layer import DecorLayer
from keras_decorr.layers.decorrelation import row_count, row_sum
from keras_decorr.layers.twin import register
from keras_decorr.maths.centring import count_rows, with_sum
from keras_decorr.typing import Shape, Tensor


@register
class DecorEinsumDense(DecorLayer, keras.layers.EinsumDense):
    """`keras.layers.EinsumDense` on decorrelated inputs.

    The features are the axes that the inputs share with the kernel and that the output lacks: in
    `"abc,cde->abde"` the last. M is folded into the kernel, and the mean into the bias.

    Args:
        *args: As in `keras.layers.EinsumDense`: `equation`, `output_shape`, ...
        decorrelator: Name of a decorrelation rule, a `keras_decorr.decorrelators.Decorrelator`, or
            `None` for a plain layer. Defaults to `"norm_preserving"`.
        **kwargs: As in `keras.layers.EinsumDense`: `activation`, `bias_axes`, initializers,
            regularizers, constraints, `name`, `dtype`, ...

    Call arguments:
        inputs: Tensor of the rank that the equation names.
        training: Use the mean of the batch, and update M. Defaults to False.
        mask: Boolean mask of the shape of the inputs without the features, True for the rows that count
            in the statistics.

    Input shape:
        As the equation says. The features must be of known size.

    Output shape:
        As the equation says.

    Raises:
        ValueError: If the kernel has an axis that both the inputs and the output have (there would be
            an M for each of its elements), or if the size of the features is unknown.

    Example:

    >>> import numpy as np, keras_decorr
    >>> layer = keras_decorr.layers.DecorEinsumDense("abc,cde->abde", (None, 2, 5))
    >>> tuple(layer(np.ones((3, 4, 6), "float32")).shape)
    (3, 4, 2, 5)

    Reference:
        N. Ahmad, "Correlations Are Ruining Your Gradient Descent", arXiv 2407.10780.
    """

    twin = keras.layers.EinsumDense
    bias_axes: str | None

    def check_inputs(self, input_shape: Shape) -> None:
        inputs, kernel, output = _labels(self.equation, len(input_shape))
        features = [a for a in kernel if a in inputs and a not in output]
        columns = [a for a in kernel if a not in inputs]
        if len(features) + len(columns) != len(kernel) or not features:
            raise ValueError(
                "DecorEinsumDense cannot decorrelate where an axis of the kernel is in both the inputs "
                "and the output, or none is summed over. Use `decorrelator=None`. "
                f"Received: equation={self.equation!r}"
            )
        size = dict(zip(inputs, input_shape, strict=True))
        if any(size[a] is None for a in features):
            raise ValueError(
                "The size of the features of DecorEinsumDense must be known, as it gives M its size. "
                f"Received: equation={self.equation!r}, input_shape={input_shape}"
            )
        free = [a for a in inputs if a not in features]
        self._order = [inputs.index(a) for a in (*free, *features)]
        self._feature_axes, self._column_axes = "".join(features), "".join(columns)
        self._kernel_axes, self._output_axes = "".join(kernel), "".join(output)

    def work(self, input_shape: Shape) -> tuple[Work, int]:
        sizes = self._sizes
        free = [input_shape[axis] or 1 for axis in self._order[1 : -len(self._feature_axes)]]
        columns = math.prod(sizes[a] for a in self._column_axes)
        n = math.prod(sizes[a] for a in self._feature_axes)
        return Work(math.prod(free), columns, folds=True), n

    @property
    def _sizes(self) -> dict[str, int]:
        """Size of each axis of the kernel."""
        return dict(zip(self._kernel_axes, self.kernel.shape, strict=True))

    def op(self, x: Tensor, K: Tensor) -> Tensor:
        return ops.einsum(self.equation, x, K)

    def matrix(self, K: Tensor) -> Tensor:
        order = [self._kernel_axes.index(a) for a in (*self._feature_axes, *self._column_axes)]
        return ops.reshape(ops.transpose(K, order), (self.features, -1))

    def of_matrix(self, K: Tensor) -> Tensor:
        sizes = self._sizes
        axes = [*self._feature_axes, *self._column_axes]
        K = ops.reshape(K, [sizes[a] for a in axes])
        return ops.transpose(K, [axes.index(a) for a in self._kernel_axes])

    def shift(self, mean: Tensor, K: Tensor) -> Tensor:
        sizes = self._sizes
        sums = ops.reshape(
            ops.matmul(mean[None], self.matrix(K)), [sizes[a] for a in self._column_axes]
        )
        axes = [a for a in self._output_axes if a in self._column_axes]
        sums = ops.transpose(sums, [self._column_axes.index(a) for a in axes])
        # The bias has the axes of the output from its first column on.
        first = min((self._output_axes.index(a) for a in axes), default=len(self._output_axes))
        return ops.reshape(sums, [sizes[a] if a in axes else 1 for a in self._output_axes[first:]])

    def row_sum(self, x: Tensor, mask: Tensor = None) -> tuple[Tensor, Tensor]:
        if mask is not None:
            return x, row_sum(self._as_rows(x), mask)[1]
        x, total = with_sum(x, self._free_axes)
        places = self._order[-len(self._feature_axes) :]
        total = ops.transpose(total, [sorted(places).index(place) for place in places])
        return x, ops.reshape(total, (-1,))

    def row_count(self, x: Tensor, mask: Tensor = None) -> Tensor:
        return count_rows(x, self._free_axes) if mask is None else row_count(x, mask)

    def observe(self, x: Tensor, count: Tensor, means: Any, mask: Tensor = None) -> None:
        self.decorrelation.observe(self._as_rows(x), count, means, mask)

    @property
    def _free_axes(self) -> tuple[int, ...]:
        """The axes of the inputs that are no features, rising."""
        return tuple(sorted(self._order[: -len(self._feature_axes)]))

    def _as_rows(self, x: Tensor) -> Tensor:
        """Returns the inputs as rows `(batch, ..., n)`."""
        if self._order != sorted(self._order):
            x = ops.transpose(x, self._order)
        if len(self._feature_axes) == 1:
            return x
        leading = ops.shape(x)[: len(x.shape) - len(self._feature_axes)]
        return ops.reshape(x, (*leading, self.features))

    def give_bias(self, shape: Shape) -> None:
        axes = {*self._column_axes, *(self.bias_axes or "")}
        self.bias_axes = "".join(a for a in self._output_axes if a in axes)
        super().give_bias(shape)


def _labels(equation: str, rank: int) -> tuple[list, list, list]:
    """Returns the axes of inputs, kernel and output, with an ellipsis written out."""
    left, output = equation.replace(" ", "").split("->")
    inputs, kernel = left.split(",")
    if "..." in inputs:
        spare = [a for a in string.ascii_letters if a not in equation]
        hidden = "".join(spare[: rank - (len(inputs) - 3)])
        inputs, output = inputs.replace("...", hidden), output.replace("...", hidden)
    return list(inputs), list(kernel), list(output)
