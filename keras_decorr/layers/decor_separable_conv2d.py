"""A separable convolution on decorrelated inputs."""

import keras

from keras_decorr.layers.decor_conv2d import DecorConv2D
from keras_decorr.layers.decor_depthwise_conv2d import DecorDepthwiseConv2D
from keras_decorr.layers.decor_separable_conv import DecorSeparableConv
from keras_decorr.layers.twin import register


@register
class DecorSeparableConv2D(DecorSeparableConv, keras.layers.SeparableConv2D):
    """`keras.layers.SeparableConv2D`, both of whose convolutions see decorrelated inputs.

    The depthwise convolution has an M for each channel, the pointwise one an M over the channels that
    the first makes. With `rows="pixels"` the pointwise one alone decorrelates.

    Args:
        *args: As in `keras.layers.SeparableConv2D`: `filters`, `kernel_size`, ...
        decorrelator: Name of a decorrelation rule, a `keras_decorr.decorrelators.Decorrelator`, or
            `None` for a plain separable convolution. Defaults to `"norm_preserving"`.
        **kwargs: As in `keras.layers.SeparableConv2D`.

    Call arguments:
        inputs: Tensor of rank 4.
        training: Use the mean of the batch, and update M. Defaults to False.

    Raises:
        ValueError: If the inputs are not of rank 4, or if their number of channels is unknown.

    Example:

    >>> import numpy as np, keras_decorr
    >>> layer = keras_decorr.layers.DecorSeparableConv2D(8, 3)
    >>> tuple(layer(np.ones((2, 8, 8, 3), "float32")).shape)
    (2, 6, 6, 8)
    """

    twin = keras.layers.SeparableConv2D
    depthwise_type = DecorDepthwiseConv2D
    pointwise_type = DecorConv2D
