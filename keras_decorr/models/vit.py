"""Builds a small vision transformer.

A. Dosovitskiy et al., "An Image is Worth 16x16 Words", arXiv 2010.11929 (2020); with decorrelation
M. Carrigg et al., "Decorrelation Speeds Up Vision Transformers", arXiv 2510.14657 (2025).
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_decorr.decorrelators import Decorrelator
from keras_decorr.models.nets import Parts
from keras_decorr.models.position_embedding import PositionEmbedding


def vit(
    input_shape: Sequence[int],
    classes: int,
    decorrelator: Decorrelator | str | None = "norm_preserving",
    patch_size: int = 4,
    width: int = 192,
    depth: int = 6,
    heads: int = 3,
    mlp_ratio: int = 2,
    dropout: float = 0.0,
    classifier_activation: str | Callable[..., Any] | None = "softmax",
    for_any_rule: bool = False,
    kernel_initializer: Any = "glorot_uniform",
    name: str = "vit",
) -> keras.Model:
    """Builds a vision transformer: patches, learned positions, pre-normalised blocks, GELU.

    There is no class token: the mean of the tokens is classified.

    Args:
        input_shape: Shape of one image, `(height, width, channels)`.
        classes: Number of classes.
        decorrelator: Decorrelator of every layer (the embedding of the patches, the projections of the
            attention, the dense layers), or `None` for a net without decorrelation. Defaults to
            `"norm_preserving"`.
        patch_size: Height and width of a patch; it must divide those of the image. Defaults to 4, for
            images of 32 pixels.
        width: Features of a token. Defaults to 192: with `heads` that of the published DeiT-Ti.
        depth: Number of blocks. Defaults to 6.
        heads: Heads of the attention; they must divide `width`. Defaults to 3.
        mlp_ratio: Hidden units of a block's dense layers over `width`. Defaults to 2.
        dropout: Dropout after attention and dense layers, a fraction of the features. Defaults to 0.
        classifier_activation: Activation of the output; `None` returns logits. Defaults to
            `"softmax"`, as in keras.applications.
        for_any_rule: Makes a difference with `decorrelator=None` alone. False (default): a plain Keras
            model. True: the same net of decorrelating layers that do nothing.
        kernel_initializer: Initializer of all kernels. Defaults to Keras's own.
        name: Name of the model.

    Returns:
        A `keras_decorr.Model`, or a `keras.Model` if it is to be a plain Keras model.

    Raises:
        ValueError: If `patch_size` does not divide the image, or `heads` the width.

    Example:

    >>> import keras_decorr
    >>> model = keras_decorr.models.vit((32, 32, 3), 10, width=48, depth=2)
    """
    if any(size % patch_size for size in input_shape[:2]):
        raise ValueError(
            "Argument `patch_size` must divide the height and width of the images. "
            f"Received: patch_size={patch_size}, input_shape={tuple(input_shape)}"
        )
    if width % heads:
        raise ValueError(
            f"Argument `heads` must divide `width`. Received: heads={heads}, width={width}"
        )
    parts = Parts(decorrelator, for_any_rule, False, kernel_initializer)
    inputs = keras.Input(input_shape)
    x = parts.conv2d(width, patch_size, strides=patch_size)(inputs)
    x = keras.layers.Reshape((-1, width))(x)
    x = PositionEmbedding()(x)
    for _ in range(depth):
        x = parts.transformer_block(x, heads, mlp_ratio, dropout)
    x = keras.layers.LayerNormalization(epsilon=1e-6)(x)
    x = keras.layers.GlobalAveragePooling1D()(x)
    outputs = parts.dense(classes, activation=classifier_activation, name="output")(x)
    return parts.functional(inputs, outputs, name)
