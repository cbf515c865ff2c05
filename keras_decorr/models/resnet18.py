"""Builds ResNet-18.

K. He et al., "Deep Residual Learning for Image Recognition", arXiv 1512.03385 (2015).
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_decorr.decorrelators import Decorrelator
from keras_decorr.models.nets import Parts
from keras_decorr.typing import Tensor

STEMS = ("cifar", "imagenet")
_BLOCKS = (2, 2, 2, 2)


def resnet18(
    input_shape: Sequence[int],
    classes: int,
    decorrelator: Decorrelator | str | None = "norm_preserving",
    stem: str | None = None,
    width: int = 64,
    classifier_activation: str | Callable[..., Any] | None = "softmax",
    for_any_rule: bool = False,
    kernel_initializer: Any = "he_normal",
    name: str = "resnet18",
) -> keras.Model:
    """Builds a ResNet-18: four groups of two basic blocks, with BatchNormalization and ReLU.

    Args:
        input_shape: Shape of one image, `(height, width, channels)`.
        classes: Number of classes.
        decorrelator: Decorrelator of every layer, or `None` for a net without decorrelation.
            Defaults to `"norm_preserving"`.
        stem: `"cifar"` (a 3x3 convolution) or `"imagenet"` (7x7 with stride 2, and 3x3 max pooling).
            Default: by the size of the images, the second above 64 pixels.
        width: Channels of the first group; every other has twice those of the one before. Defaults to
            64, as published.
        classifier_activation: Activation of the output; `None` returns logits. Defaults to
            `"softmax"`, as in keras.applications.
        for_any_rule: Makes a difference with `decorrelator=None` alone. False (default): a plain
            Keras model, which learns by backpropagation. True: the same net, with the same initial
            weights, that takes any `learning_rule` in `compile`.
        kernel_initializer: Initializer of all kernels. Defaults to He's.
        name: Name of the model.

    Returns:
        A `keras_decorr.Model`, or a `keras.Model` if it is to be a plain Keras model.

    Raises:
        ValueError: If `stem` is unknown.

    Example:

    >>> import keras_decorr
    >>> model = keras_decorr.models.resnet18((32, 32, 3), 10, width=8)
    """
    if stem is None:
        stem = "imagenet" if min(input_shape[:2]) > 64 else "cifar"
    if stem not in STEMS:
        raise ValueError(f"Argument `stem` must be one of {list(STEMS)}. Received: {stem!r}")
    parts = Parts(decorrelator, for_any_rule, True, kernel_initializer)
    inputs = keras.Input(input_shape)
    size, strides = (3, 1) if stem == "cifar" else (7, 2)
    x = _normalised(parts, inputs, width, size, strides)
    x = keras.layers.ReLU()(x)
    if stem == "imagenet":
        x = keras.layers.MaxPooling2D(3, strides=2, padding="same")(x)
    for group, blocks in enumerate(_BLOCKS):
        for block in range(blocks):
            strides = 2 if group > 0 and block == 0 else 1
            x = _block(parts, x, width * 2**group, strides)
    x = keras.layers.GlobalAveragePooling2D()(x)
    outputs = parts.dense(classes, activation=classifier_activation, name="output")(x)
    return parts.functional(inputs, outputs, name)


def _block(parts: Parts, x: Tensor, filters: int, strides: int) -> Tensor:
    shortcut = x
    if strides != 1 or x.shape[-1] != filters:
        shortcut = _normalised(parts, x, filters, 1, strides)
    x = keras.layers.ReLU()(_normalised(parts, x, filters, 3, strides))
    x = keras.layers.Add()([_normalised(parts, x, filters, 3, 1), shortcut])
    return keras.layers.ReLU()(x)


def _normalised(parts: Parts, x: Tensor, filters: int, size: int, strides: int) -> Tensor:
    x = parts.conv2d(filters, size, strides=strides, padding="same", use_bias=False)(x)
    return keras.layers.BatchNormalization()(x)
