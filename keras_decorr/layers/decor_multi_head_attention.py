"""Attention whose projections see decorrelated inputs (M. Carrigg et al., arXiv 2510.14657)."""

import keras

from keras_decorr.layers.attention import DecorProjections
from keras_decorr.layers.twin import register


@register
class DecorMultiHeadAttention(DecorProjections, keras.layers.MultiHeadAttention):
    """`keras.layers.MultiHeadAttention` whose projections are `DecorEinsumDense`.

    The inputs of query, key, value and output projection are decorrelated, each by an M of its own.

    Args:
        *args: As in `keras.layers.MultiHeadAttention`: `num_heads`, `key_dim`, ...
        decorrelator: Name of a decorrelation rule, a `keras_decorr.decorrelators.Decorrelator`, or
            `None` for plain attention. Defaults to `"norm_preserving"`.
        **kwargs: As in `keras.layers.MultiHeadAttention`.

    Call arguments:
        As in `keras.layers.MultiHeadAttention`.

    Raises:
        ValueError: If the number of features of an input is unknown.

    Example:

    >>> import numpy as np, keras_decorr
    >>> layer = keras_decorr.layers.DecorMultiHeadAttention(2, key_dim=4)
    >>> x = np.ones((3, 5, 8), "float32")
    >>> tuple(layer(x, x).shape)
    (3, 5, 8)

    Reference:
        M. Carrigg et al., "Decorrelation Speeds Up Vision Transformers", arXiv 2510.14657.
    """

    twin = keras.layers.MultiHeadAttention
