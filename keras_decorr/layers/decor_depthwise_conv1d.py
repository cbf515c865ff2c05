"""A one-dimensional depthwise convolution on decorrelated patches."""

import keras

from keras_decorr.layers.decor_depthwise_conv import DecorDepthwiseConv
from keras_decorr.layers.twin import register


@register
class DecorDepthwiseConv1D(DecorDepthwiseConv, keras.layers.DepthwiseConv1D):
    """`keras.layers.DepthwiseConv1D` on the decorrelated patches of each channel.

    Every channel is a convolution of its own, on patches of `n = k` values, and has its own M of
    that size. M is folded into the kernel, and the mean of the patches into the bias. Over channels
    alone there would be nothing to decorrelate: `rows="pixels"` is refused.

    Args:
        *args: As in `keras.layers.DepthwiseConv1D`: `kernel_size`, ...
        decorrelator: Name of a decorrelation rule, a `keras_decorr.decorrelators.Decorrelator`, or
            `None` for a plain convolution. Defaults to `"norm_preserving"`.
        **kwargs: As in `keras.layers.DepthwiseConv1D`: `strides`, `padding`, `data_format`,
            `dilation_rate`, `depth_multiplier`, `activation`, `use_bias`, initializers,
            regularizers, constraints, `name`, `dtype`, ...

    Call arguments:
        inputs: Tensor of rank 3.
        training: Use the mean of the batch, and update M. Defaults to False.

    Input shape:
        `(batch, steps, channels)`, or `(batch, channels, steps)` with
        `data_format="channels_first"`. The number of channels must be known.

    Output shape:
        That of `keras.layers.DepthwiseConv1D`.

    Raises:
        ValueError: If the inputs are not of rank 3, or if their number of channels is unknown.

    Example:

    >>> import numpy as np, keras_decorr
    >>> layer = keras_decorr.layers.DecorDepthwiseConv1D(3)
    >>> tuple(layer(np.ones((3, 9, 4), "float32")).shape)
    (3, 7, 4)

    Reference:
        N. Ahmad, "Correlations Are Ruining Your Gradient Descent", arXiv 2407.10780.
    """

    twin = keras.layers.DepthwiseConv1D
