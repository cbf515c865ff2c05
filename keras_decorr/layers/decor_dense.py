"""A dense layer on decorrelated inputs (N. Ahmad, arXiv 2407.10780)."""

import math
from typing import Any

import keras
from keras import ops

from keras_decorr.context import wiring
from keras_decorr.decorrelators.cost import USUAL_BATCH, Work
from keras_decorr.layers.decor_layer import DecorLayer
from keras_decorr.layers.decorrelation import feature_count, row_count, row_sum
from keras_decorr.layers.twin import register
from keras_decorr.typing import Shape, Tensor


@register
class DecorDense(DecorLayer, keras.layers.Dense):
    """`keras.layers.Dense` on decorrelated inputs: `y = activation((x - mean) M^T W + b)`.

    M is applied to the batch (`rows n^2` multiply-adds) or folded into the kernel (`units n^2`),
    whichever is less. The result is the same. Where the size of the batch is not known when the step
    is traced (TensorFlow's `fit`, unless the data set drops its remainder), 256 rows are assumed.

    Args:
        *args: As in `keras.layers.Dense`: `units`, `activation`, ...
        decorrelator: Name of a decorrelation rule, a `keras_decorr.decorrelators.Decorrelator`, or
            `None` for a plain dense layer. Defaults to `"norm_preserving"`.
        **kwargs: As in `keras.layers.Dense`: `use_bias`, initializers, regularizers, constraints,
            `lora_rank`, `lora_alpha`, `name`, `dtype`, ...

    Call arguments:
        inputs: Tensor of rank 2 or more.
        training: Use the mean of the batch, and update M. Defaults to False.
        mask: Boolean mask, True for the steps that count in the statistics.

    Input shape:
        `(batch, ..., n)` with a known `n`.

    Output shape:
        `(batch, ..., units)`.

    Raises:
        ValueError: If the inputs have rank 1, or an unknown last axis.

    Example:

    >>> import numpy as np, keras_decorr
    >>> layer = keras_decorr.layers.DecorDense(10, activation="relu")
    >>> layer(np.ones((32, 64), "float32")).shape[-1]
    10

    Reference:
        N. Ahmad, "Correlations Are Ruining Your Gradient Descent", arXiv 2407.10780.
    """

    twin = keras.layers.Dense

    def check_inputs(self, input_shape: Shape) -> None:
        feature_count(type(self).__name__, input_shape)

    def work(self, input_shape: Shape) -> tuple[Work, int]:
        n = feature_count(type(self).__name__, input_shape)
        rows = math.prod(size or 1 for size in input_shape[1:-1])
        return Work(rows, self.units, self.acts_on_gradient or None), n

    def call(self, inputs: Tensor, training: bool | None = None, mask: Tensor = None) -> Tensor:
        # JAX has a symbol where Keras asks for shapes alone.
        sizes = (size if isinstance(size, int) else USUAL_BATCH for size in inputs.shape[:-1])
        folds = math.prod(sizes) > self.units
        if self.decorrelation is None or self.acts_on_gradient or folds:
            return super().call(inputs, training, mask)
        inputs = wiring.current().inputs(self, inputs)
        inputs = self.decorrelation(inputs, training=training, mask=mask)
        return self.linear_map(inputs, asleep=self.decorrelation.asleep(training))

    def op(self, x: Tensor, K: Tensor) -> Tensor:
        return ops.matmul(x, K)

    def matrix(self, K: Tensor) -> Tensor:
        return K

    def of_matrix(self, K: Tensor) -> Tensor:
        return K

    def row_sum(self, x: Tensor, mask: Tensor = None) -> Any:
        return row_sum(x, mask)

    def row_count(self, x: Tensor, mask: Tensor = None) -> Tensor:
        return row_count(x, mask)

    def observe(self, x: Tensor, count: Tensor, means: Any, mask: Tensor = None) -> None:
        self.decorrelation.observe(x, count, means, mask)
