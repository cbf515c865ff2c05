"""Builds the convolutional net of N. Ahmad, arXiv 2407.10780: 32-32-pool-64-64-pool-1000."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_decorr.decorrelators import Decorrelator
from keras_decorr.models.nets import Parts


def conv_net(
    input_shape: Sequence[int],
    classes: int,
    decorrelator: Decorrelator | str | None = "norm_preserving",
    filters: Sequence[Sequence[int]] = ((32, 32), (64, 64)),
    hidden: int = 1000,
    batch_normalization: bool = False,
    classifier_activation: str | Callable[..., Any] | None = "softmax",
    for_any_rule: bool = False,
    kernel_initializer: Any = "glorot_uniform",
    name: str = "conv_net",
) -> keras.Model:
    """Builds a convolutional classifier: 3x3 convolutions, pooling, one dense layer; leaky ReLU (0.01).

    Args:
        input_shape: Shape of one image, `(height, width, channels)`.
        classes: Number of classes.
        decorrelator: Decorrelator of every layer, or `None` for a net without decorrelation.
            Defaults to `"norm_preserving"`.
        filters: Filters of the convolutions, one tuple for each block before a 2x2 pooling. Defaults
            to `((32, 32), (64, 64))`, as in the paper.
        hidden: Units of the dense layer. Defaults to 1000.
        batch_normalization: Put `keras.layers.BatchNormalization` before each activation. Defaults to
            False.
        classifier_activation: Activation of the output; `None` returns logits. Defaults to
            `"softmax"`, as in keras.applications.
        for_any_rule: Makes a difference with `decorrelator=None` alone. False (default): a plain
            Keras model, which learns by backpropagation. True: the same net, with the same initial
            weights, that takes any `learning_rule` in `compile`.
        kernel_initializer: Initializer of all kernels. Defaults to Keras's own. For feedback alignment
            use `keras_decorr.models.FAN_IN_UNIFORM`, the paper's.
        name: Name of the model.

    Returns:
        A model whose linear layers are called `conv_1_1`, `conv_1_2`, ... by block, `hidden` and
        `output`: a `keras_decorr.Sequential`, or a `keras.Sequential` if it is to be a plain Keras
        model.

    Example:

    >>> import keras_decorr
    >>> model = keras_decorr.models.conv_net((8, 8, 1), 10, filters=((8,), (16,)), hidden=64)
    """
    parts = Parts(decorrelator, for_any_rule, batch_normalization, kernel_initializer)
    layers = [keras.Input(input_shape)]
    for i, block in enumerate(filters, 1):
        for j, width in enumerate(block, 1):
            convolution = parts.conv2d(width, 3, padding="same", name=f"conv_{i}_{j}")
            layers += parts.activated(convolution)
        layers.append(keras.layers.MaxPooling2D(2))
    layers.append(keras.layers.Flatten())
    layers += parts.activated(parts.dense(hidden, name="hidden"))
    layers.append(parts.dense(classes, activation=classifier_activation, name="output"))
    return parts.sequential(layers, name)
