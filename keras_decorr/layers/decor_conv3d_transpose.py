"""A three-dimensional transposed convolution on decorrelated channels."""

import keras

from keras_decorr.layers.decor_conv_transpose import DecorConvTranspose
from keras_decorr.layers.twin import register


@register
class DecorConv3DTranspose(DecorConvTranspose, keras.layers.Conv3DTranspose):
    """`keras.layers.Conv3DTranspose` on decorrelated channels.

    Each pixel's `n = c_in` channels are mapped to a patch of the output, so M is over channels,
    whatever its structure. The inputs are not centred: where patches of the output overlap differs
    from pixel to pixel, so no bias could take the mean.

    Args:
        *args: As in `keras.layers.Conv3DTranspose`: `filters`, `kernel_size`, ...
        decorrelator: Name of a decorrelation rule, a `keras_decorr.decorrelators.Decorrelator`, or
            `None` for a plain convolution. Defaults to `"norm_preserving"`.
        **kwargs: As in `keras.layers.Conv3DTranspose`: `strides`, `padding`, `output_padding`,
            `data_format`, `dilation_rate`, `activation`, `use_bias`, initializers, regularizers,
            constraints, `name`, `dtype`, ...

    Call arguments:
        inputs: Tensor of rank 5.
        training: Use the mean of the batch, and update M. Defaults to False.

    Input shape:
        `(batch, depth, height, width, channels)`, or `(batch, channels, depth, height, width)` with
        `data_format="channels_first"`. The number of channels must be known.

    Output shape:
        That of `keras.layers.Conv3DTranspose`.

    Raises:
        ValueError: If the inputs are not of rank 5, or if their number of channels is unknown.

    Example:

    >>> import numpy as np, keras_decorr
    >>> layer = keras_decorr.layers.DecorConv3DTranspose(8, 3, strides=2, padding="same")
    >>> tuple(layer(np.ones((2, 4, 4, 4, 3), "float32")).shape)
    (2, 8, 8, 8, 8)

    Reference:
        N. Ahmad, "Correlations Are Ruining Your Gradient Descent", arXiv 2407.10780.
    """

    twin = keras.layers.Conv3DTranspose
