"""A two-dimensional depthwise convolution on decorrelated patches."""

import keras

from keras_decorr.layers.decor_depthwise_conv import DecorDepthwiseConv
from keras_decorr.layers.twin import register


@register
class DecorDepthwiseConv2D(DecorDepthwiseConv, keras.layers.DepthwiseConv2D):
    """`keras.layers.DepthwiseConv2D` on the decorrelated patches of each channel.

    Every channel is a convolution of its own, on patches of `n = kh kw` values, and has its own M of
    that size. M is folded into the kernel, and the mean of the patches into the bias. Over channels
    alone there would be nothing to decorrelate: `rows="pixels"` is refused.

    Args:
        *args: As in `keras.layers.DepthwiseConv2D`: `kernel_size`, ...
        decorrelator: Name of a decorrelation rule, a `keras_decorr.decorrelators.Decorrelator`, or
            `None` for a plain convolution. Defaults to `"norm_preserving"`.
        **kwargs: As in `keras.layers.DepthwiseConv2D`: `strides`, `padding`, `data_format`,
            `dilation_rate`, `depth_multiplier`, `activation`, `use_bias`, initializers,
            regularizers, constraints, `name`, `dtype`, ...

    Call arguments:
        inputs: Tensor of rank 4.
        training: Use the mean of the batch, and update M. Defaults to False.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height, width)` with
        `data_format="channels_first"`. The number of channels must be known.

    Output shape:
        That of `keras.layers.DepthwiseConv2D`.

    Raises:
        ValueError: If the inputs are not of rank 4, or if their number of channels is unknown.

    Example:

    >>> import numpy as np, keras_decorr
    >>> layer = keras_decorr.layers.DecorDepthwiseConv2D(3)
    >>> tuple(layer(np.ones((2, 8, 8, 3), "float32")).shape)
    (2, 6, 6, 3)

    Reference:
        N. Ahmad, "Correlations Are Ruining Your Gradient Descent", arXiv 2407.10780.
    """

    twin = keras.layers.DepthwiseConv2D
