"""A separable convolution on decorrelated inputs."""

import keras

from keras_decorr.layers.decor_conv1d import DecorConv1D
from keras_decorr.layers.decor_depthwise_conv1d import DecorDepthwiseConv1D
from keras_decorr.layers.decor_separable_conv import DecorSeparableConv
from keras_decorr.layers.twin import register


@register
class DecorSeparableConv1D(DecorSeparableConv, keras.layers.SeparableConv1D):
    """`keras.layers.SeparableConv1D`, both of whose convolutions see decorrelated inputs.

    The depthwise convolution has an M for each channel, the pointwise one an M over the channels that
    the first makes. With `rows="pixels"` the pointwise one alone decorrelates.

    Args:
        *args: As in `keras.layers.SeparableConv1D`: `filters`, `kernel_size`, ...
        decorrelator: Name of a decorrelation rule, a `keras_decorr.decorrelators.Decorrelator`, or
            `None` for a plain separable convolution. Defaults to `"norm_preserving"`.
        **kwargs: As in `keras.layers.SeparableConv1D`.

    Call arguments:
        inputs: Tensor of rank 3.
        training: Use the mean of the batch, and update M. Defaults to False.

    Raises:
        ValueError: If the inputs are not of rank 3, or if their number of channels is unknown.

    Example:

    >>> import numpy as np, keras_decorr
    >>> layer = keras_decorr.layers.DecorSeparableConv1D(8, 3)
    >>> tuple(layer(np.ones((3, 9, 4), "float32")).shape)
    (3, 7, 8)
    """

    twin = keras.layers.SeparableConv1D
    depthwise_type = DecorDepthwiseConv1D
    pointwise_type = DecorConv1D
