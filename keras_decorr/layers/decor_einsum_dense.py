"""A dense layer of any shape on decorrelated inputs (N. Ahmad, arXiv 2407.10780)."""

import math
import string
from typing import Any

import keras
from keras import ops

from keras_decorr.decorrelators.cost import Work
from keras_decorr.layers.decor_layer import DecorLayer
from keras_decorr.layers.decorrelation import row_count, row_sum
from keras_decorr.maths.centring import count_rows, with_sum
from keras_decorr.typing import Shape, Tensor


@keras.saving.register_keras_serializable(package="keras_decorr")
class DecorEinsumDense(DecorLayer):
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

    def build(self, input_shape: Shape) -> None:
        if self.decorrelation is not None:
            self._read_equation(input_shape)
        if not self.layer.built:
            self.layer.build(input_shape)
        if self.decorrelation is None:
            return
        kernel = dict(zip(self._kernel, self.layer.kernel.shape, strict=True))
        # The bias has the axes of the output from its first column on.
        first = min((self._output.index(a) for a in self._columns), default=len(self._output))
        self._bias_axes = [a for a in self._output if a in self._columns]
        self._bias_shape = [kernel[a] if a in self._columns else 1 for a in self._output[first:]]
        free = [input_shape[axis] or 1 for axis in self._order[1 : -len(self._features)]]
        columns = math.prod(kernel[a] for a in self._columns)
        self.decorrelation.serve(Work(math.prod(free), columns, folds=True))
        self.decorrelation.build((None, math.prod(kernel[a] for a in self._features)))

    def _read_equation(self, input_shape: Shape) -> None:
        equation = self.layer.equation
        inputs, self._kernel, self._output = _labels(equation, len(input_shape))
        self._features = [a for a in self._kernel if a in inputs and a not in self._output]
        self._columns = [a for a in self._kernel if a not in inputs]
        if len(self._features) + len(self._columns) != len(self._kernel) or not self._features:
            raise ValueError(
                "DecorEinsumDense cannot decorrelate where an axis of the kernel is in both the inputs "
                "and the output, or none is summed over. Use `decorrelator=None`. "
                f"Received: equation={equation!r}"
            )
        size = dict(zip(inputs, input_shape, strict=True))
        if any(size[a] is None for a in self._features):
            raise ValueError(
                "The size of the features of DecorEinsumDense must be known, as it gives M its size. "
                f"Received: equation={equation!r}, input_shape={input_shape}"
            )
        free = [a for a in inputs if a not in self._features]
        self._order = [inputs.index(a) for a in (*free, *self._features)]

    def op(self, x: Tensor, K: Tensor) -> Tensor:
        return ops.einsum(self.layer.equation, x, K)

    def matrix(self, K: Tensor) -> Tensor:
        order = [self._kernel.index(a) for a in (*self._features, *self._columns)]
        return ops.reshape(ops.transpose(K, order), (self.features, -1))

    def of_matrix(self, K: Tensor) -> Tensor:
        sizes = dict(zip(self._kernel, self.kernel.shape, strict=True))
        axes = [*self._features, *self._columns]
        K = ops.reshape(K, [sizes[a] for a in axes])
        return ops.transpose(K, [axes.index(a) for a in self._kernel])

    def shift(self, mean: Tensor, K: Tensor) -> Tensor:
        sizes = dict(zip(self._kernel, self.kernel.shape, strict=True))
        sums = ops.reshape(
            ops.matmul(mean[None], self.matrix(K)), [sizes[a] for a in self._columns]
        )
        sums = ops.transpose(sums, [self._columns.index(a) for a in self._bias_axes])
        return ops.reshape(sums, self._bias_shape)

    def row_sum(self, x: Tensor, mask: Tensor = None) -> tuple[Tensor, Tensor]:
        if mask is not None:
            return x, row_sum(self._as_rows(x), mask)[1]
        x, total = with_sum(x, self._free_axes)
        places = self._order[-len(self._features) :]
        total = ops.transpose(total, [sorted(places).index(place) for place in places])
        return x, ops.reshape(total, (-1,))

    def row_count(self, x: Tensor, mask: Tensor = None) -> Tensor:
        return count_rows(x, self._free_axes) if mask is None else row_count(x, mask)

    def observe(self, x: Tensor, count: Tensor, means: Any, mask: Tensor = None) -> None:
        self.decorrelation.observe(self._as_rows(x), count, means, mask)

    @property
    def _free_axes(self) -> tuple[int, ...]:
        """The axes of the inputs that are no features, rising."""
        return tuple(sorted(self._order[: -len(self._features)]))

    def _as_rows(self, x: Tensor) -> Tensor:
        """Returns the inputs as rows `(batch, ..., n)`."""
        if self._order != sorted(self._order):
            x = ops.transpose(x, self._order)
        if len(self._features) == 1:
            return x
        leading = ops.shape(x)[: len(x.shape) - len(self._features)]
        return ops.reshape(x, (*leading, self.features))

    def folded_bias(self) -> dict[str, Any]:
        if not self.folds_a_mean:
            return {}
        axes = {*self._bias_axes, *(self.layer.bias_axes or "")}
        return {"bias_axes": "".join(a for a in self._output if a in axes)}


def _labels(equation: str, rank: int) -> tuple[list, list, list]:
    """Returns the axes of inputs, kernel and output, with an ellipsis written out."""
    left, output = equation.replace(" ", "").split("->")
    inputs, kernel = left.split(",")
    if "..." in inputs:
        spare = [a for a in string.ascii_letters if a not in equation]
        hidden = "".join(spare[: rank - (len(inputs) - 3)])
        inputs, output = inputs.replace("...", hidden), output.replace("...", hidden)
    return list(inputs), list(kernel), list(output)
