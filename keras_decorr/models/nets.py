"""Builds the parts that the nets share: layers with or without decorrelation."""

from typing import Any

import keras

from keras_decorr.decorrelators import Decorrelator
from keras_decorr.layers import DecorConv2D, DecorDense, DecorMultiHeadAttention
from keras_decorr.training import Model, Sequential
from keras_decorr.typing import Tensor

SLOPE = 0.01  # of the leaky ReLU below zero

# Initial weights from +-1 / sqrt(n), as in the paper's code. Feedback alignment needs them to be small
# beside the feedback weights, so that what is learned can align with these.
FAN_IN_UNIFORM = {
    "class_name": "VarianceScaling",
    "config": {"scale": 1 / 3, "mode": "fan_in", "distribution": "uniform"},
}


class Parts:
    """Makes the layers of a net, and the net.

    Args:
        decorrelator: Decorrelator of every layer, or `None`.
        for_any_rule: Without a decorrelator: use layers that any learning rule can train, rather than
            those of Keras. The initial weights are the same.
        batch_normalization: Put `keras.layers.BatchNormalization` before each activation.
        kernel_initializer: Initializer of all kernels.
    """

    def __init__(
        self,
        decorrelator: Decorrelator | str | None,
        for_any_rule: bool,
        batch_normalization: bool,
        kernel_initializer: Any,
    ) -> None:
        self.decorrelator = decorrelator
        self.kernel_initializer = kernel_initializer
        self.of_keras = decorrelator is None and not for_any_rule
        self.batch_normalization = batch_normalization

    def dense(self, units: int, **kwargs: Any) -> keras.layers.Layer:
        """Makes a dense layer."""
        kwargs["kernel_initializer"] = self._initializer()
        if self.of_keras:
            return keras.layers.Dense(units, **kwargs)
        return DecorDense(units, decorrelator=self.decorrelator, **kwargs)

    def plain_dense(self, units: int, **kwargs: Any) -> keras.layers.Layer:
        """Makes a dense layer of Keras's own, with any decorrelator."""
        return keras.layers.Dense(units, kernel_initializer=self._initializer(), **kwargs)

    def conv2d(self, filters: int, kernel_size: int, **kwargs: Any) -> keras.layers.Layer:
        """Makes a convolution."""
        kwargs["kernel_initializer"] = self._initializer()
        if self.of_keras:
            return keras.layers.Conv2D(filters, kernel_size, **kwargs)
        return DecorConv2D(filters, kernel_size, decorrelator=self.decorrelator, **kwargs)

    def attention(self, heads: int, key_dim: int, **kwargs: Any) -> keras.layers.Layer:
        """Makes a multi-head attention layer."""
        kwargs["kernel_initializer"] = self._initializer()
        if self.of_keras:
            return keras.layers.MultiHeadAttention(heads, key_dim, **kwargs)
        return DecorMultiHeadAttention(heads, key_dim, decorrelator=self.decorrelator, **kwargs)

    def transformer_block(
        self, x: Tensor, heads: int, mlp_ratio: int, dropout: float, **attention: Any
    ) -> Tensor:
        """Applies a block with normalisation before attention and before the two dense layers."""
        width = x.shape[-1]
        y = keras.layers.LayerNormalization(epsilon=1e-6)(x)
        y = self.attention(heads, width // heads)(y, y, **attention)
        x = keras.layers.Add()([x, keras.layers.Dropout(dropout)(y)])
        y = keras.layers.LayerNormalization(epsilon=1e-6)(x)
        y = self.dense(mlp_ratio * width, activation="gelu")(y)
        y = self.dense(width)(y)
        return keras.layers.Add()([x, keras.layers.Dropout(dropout)(y)])

    def _initializer(self) -> Any:
        initializer = keras.initializers.get(self.kernel_initializer)
        # One for each layer, or layers of one shape would start with the same weights.
        return initializer.clone() if hasattr(initializer, "clone") else initializer

    def activated(self, layer: keras.layers.Layer) -> list[keras.layers.Layer]:
        """Returns a linear layer, batch normalisation if asked for, and leaky ReLU."""
        block = [layer]
        if self.batch_normalization:
            block.append(keras.layers.BatchNormalization())
        return [*block, keras.layers.LeakyReLU(negative_slope=SLOPE)]

    def sequential(self, layers: list[keras.layers.Layer], name: str) -> keras.Model:
        """Makes a model of layers: one with a learning rule, or a plain Keras model."""
        return (keras.Sequential if self.of_keras else Sequential)(layers, name=name)

    def functional(self, inputs: Tensor, outputs: Tensor, name: str) -> keras.Model:
        """Makes a model between two tensors: one with a learning rule, or a plain Keras model."""
        return (keras.Model if self.of_keras else Model)(inputs, outputs, name=name)
