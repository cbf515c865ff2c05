"""A one-dimensional convolution on decorrelated patches (N. Ahmad, arXiv 2407.10780)."""

import keras
from keras import ops

from keras_decorr.layers.decor_conv import DecorConv
from keras_decorr.layers.twin import register
from keras_decorr.typing import Tensor


@register
class DecorConv1D(DecorConv, keras.layers.Conv1D):
    """`keras.layers.Conv1D` on decorrelated patches.

    The linear map works on patches of `n = k c_in` values. M is folded into the kernel
    (`K_eff = M^T K`) and one ordinary convolution runs; patches are only extracted to update
    M. They are centred after padding, so the mean folds into the bias at the border, too. With
    `groups` above 1 every group has an M of its own.

    Args:
        *args: As in `keras.layers.Conv1D`: `filters`, `kernel_size`, ...
        decorrelator: Name of a decorrelation rule, a `keras_decorr.decorrelators.Decorrelator`, or
            `None` for a plain convolution. Defaults to `"norm_preserving"`.
        **kwargs: As in `keras.layers.Conv1D`: `strides`, `padding`, `data_format`,
            `dilation_rate`, `groups`, `activation`, `use_bias`, initializers, regularizers,
            constraints, `name`, `dtype`, ...

    Call arguments:
        inputs: Tensor of rank 3.
        training: Use the mean of the batch, and update M. Defaults to False.

    Input shape:
        `(batch, steps, channels)`, or `(batch, channels, steps)` with
        `data_format="channels_first"`. The number of channels must be known.

    Output shape:
        That of `keras.layers.Conv1D`.

    Raises:
        ValueError: If the inputs are not of rank 3, or if their number of channels is unknown.

    Example:

    >>> import numpy as np, keras_decorr
    >>> layer = keras_decorr.layers.DecorConv1D(8, 3)
    >>> tuple(layer(np.ones((3, 9, 4), "float32")).shape)
    (3, 7, 8)

    Reference:
        N. Ahmad, "Correlations Are Ruining Your Gradient Descent", arXiv 2407.10780.
    """

    twin = keras.layers.Conv1D

    def op(self, x: Tensor, K: Tensor) -> Tensor:
        layer = self
        padding = layer.padding
        if padding == "causal":
            before = (layer.kernel_size[0] - 1) * layer.dilation_rate[0]
            width = [(0, 0), (0, 0), (0, 0)]
            width[1 if layer.data_format == "channels_last" else 2] = (before, 0)
            x, padding = ops.pad(x, width), "valid"
        return ops.conv(
            x,
            K,
            strides=list(layer.strides),
            padding=padding,
            dilation_rate=layer.dilation_rate,
            data_format=layer.data_format,
        )
