"""A two-dimensional convolution on decorrelated patches (N. Ahmad, arXiv 2407.10780)."""

import keras

from keras_decorr.layers.decor_conv import DecorConv
from keras_decorr.layers.twin import register
from keras_decorr.typing import Tensor


@register
class DecorConv2D(DecorConv, keras.layers.Conv2D):
    """`keras.layers.Conv2D` on decorrelated patches.

    The linear map works on patches of `n = kh kw c_in` values. M is folded into the kernel
    (`K_eff = M^T K`) and one ordinary convolution runs; patches are only extracted to update
    M. They are centred after padding, so the mean folds into the bias at the border, too. With
    `groups` above 1 every group has an M of its own.

    Args:
        *args: As in `keras.layers.Conv2D`: `filters`, `kernel_size`, ...
        decorrelator: Name of a decorrelation rule, a `keras_decorr.decorrelators.Decorrelator`, or
            `None` for a plain convolution. Defaults to `"norm_preserving"`.
        **kwargs: As in `keras.layers.Conv2D`: `strides`, `padding`, `data_format`,
            `dilation_rate`, `groups`, `activation`, `use_bias`, initializers, regularizers,
            constraints, `name`, `dtype`, ...

    Call arguments:
        inputs: Tensor of rank 4.
        training: Use the mean of the batch, and update M. Defaults to False.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height, width)` with
        `data_format="channels_first"`. The number of channels must be known.

    Output shape:
        That of `keras.layers.Conv2D`.

    Raises:
        ValueError: If the inputs are not of rank 4, or if their number of channels is unknown.

    Example:

    >>> import numpy as np, keras_decorr
    >>> layer = keras_decorr.layers.DecorConv2D(8, 3)
    >>> tuple(layer(np.ones((2, 8, 8, 3), "float32")).shape)
    (2, 6, 6, 8)

    Reference:
        N. Ahmad, "Correlations Are Ruining Your Gradient Descent", arXiv 2407.10780.
    """

    twin = keras.layers.Conv2D

    def op(self, x: Tensor, K: Tensor) -> Tensor:
        return self.convolution_op(x, K)
