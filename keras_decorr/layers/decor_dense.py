"""A dense layer on decorrelated inputs (N. Ahmad, arXiv 2407.10780)."""

import math

import keras
from keras import ops

from keras_decorr.layers import wiring
from keras_decorr.layers.decor_layer import DecorLayer
from keras_decorr.layers.decorrelation import USUAL_BATCH


@keras.saving.register_keras_serializable(package="keras_decorr")
class DecorDense(DecorLayer):
    """`keras.layers.Dense` on decorrelated inputs: `y = activation((x - mean) M^T W + b)`.

    M is applied to the batch (`rows n^2` multiply-adds) or folded into the kernel (`units n^2`),
    whichever is less. The result is the same. Where the size of the batch is not known when the step
    is traced (TensorFlow's `fit`, unless the data set drops its remainder), 256 rows are assumed.

    Args:
        units: Number of outputs.
        activation: As in `keras.layers.Dense`, and so on to `lora_alpha`.
        use_bias: Whether to add a bias.
        kernel_initializer: Initializer of the kernel.
        bias_initializer: Initializer of the bias.
        kernel_regularizer: Regularizer of the kernel.
        bias_regularizer: Regularizer of the bias.
        activity_regularizer: Regularizer of the output.
        kernel_constraint: Constraint on the kernel.
        bias_constraint: Constraint on the bias.
        lora_rank: Rank of a low-rank adaptation of the kernel, or `None`.
        lora_alpha: Its scale, or `None`.
        decorrelator: Name of a decorrelation rule, a `keras_decorr.decorrelators.Decorrelator`, or
            `None` for a plain dense layer. Defaults to `"norm_preserving"`.
        **kwargs: Arguments of every Keras layer, such as `name` and `dtype`.

    Call arguments:
        inputs: Tensor of rank 2 or more.
        training: Use the mean of the batch, and move M. Defaults to False.
        mask: Boolean mask of the steps that do not count in the statistics.

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

    def __init__(
        self,
        units,
        activation=None,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
        lora_rank=None,
        lora_alpha=None,
        decorrelator="norm_preserving",
        **kwargs,
    ):
        quantization_config = kwargs.pop("quantization_config", None)
        dense = keras.layers.Dense(
            units,
            activation=activation,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
            lora_rank=lora_rank,
            lora_alpha=lora_alpha,
            quantization_config=quantization_config,
            name="dense",
            dtype=kwargs.get("dtype"),
        )
        super().__init__(dense, decorrelator, activity_regularizer=activity_regularizer, **kwargs)
        self.units = units

    def build(self, input_shape):
        if self.decorrelation is not None:
            self.decorrelation.build(input_shape)
        self.layer.build(input_shape)

    def call(self, inputs, training=None, mask=None):
        inputs = wiring.current().inputs(self, inputs)
        decorrelation = self.decorrelation
        rows = math.prod(size or USUAL_BATCH for size in inputs.shape[:-1])
        # Nothing can be folded into a quantized kernel.
        quantized = self.layer.quantization_mode is not None
        if decorrelation is not None and (rows <= self.units or quantized):
            inputs = decorrelation(inputs, training=training, mask=mask)
            decorrelation = None
        if quantized:
            return self.layer.call(inputs)
        if decorrelation is None:
            return self.linear_map(ops.matmul, inputs)
        mean = decorrelation.mean_of_rows(inputs, training, mask)
        outputs = self.linear_map(ops.matmul, inputs, mean, folded=True)
        if decorrelation.learns(training):  # only now, as it may move M
            decorrelation.observe(inputs, mean, mask)
        return outputs
