"""Attention whose projections see decorrelated inputs (M. Carrigg et al., arXiv 2510.14657)."""

import keras

from keras_decorr.layers.attention import DecorProjections
from keras_decorr.layers.twin import register


@register
class DecorGroupQueryAttention(DecorProjections, keras.layers.GroupQueryAttention):
    """`keras.layers.GroupQueryAttention` whose projections are `DecorEinsumDense`.

    The inputs of query, key, value and output projection are decorrelated, each by an M of its own.

    Args:
        *args: As in `keras.layers.GroupQueryAttention`: `head_dim`, `num_query_heads`,
            `num_key_value_heads`, ...
        decorrelator: Name of a decorrelation rule, a `keras_decorr.decorrelators.Decorrelator`, or
            `None` for plain attention. Defaults to `"norm_preserving"`.
        **kwargs: As in `keras.layers.GroupQueryAttention`.

    Call arguments:
        As in `keras.layers.GroupQueryAttention`.

    Raises:
        ValueError: If the number of features of an input is unknown.

    Example:

    >>> import numpy as np, keras_decorr
    >>> layer = keras_decorr.layers.DecorGroupQueryAttention(4, 4, 2)
    >>> x = np.ones((3, 5, 8), "float32")
    >>> tuple(layer(x, x).shape)
    (3, 5, 8)

    Reference:
        M. Carrigg et al., "Decorrelation Speeds Up Vision Transformers", arXiv 2510.14657.
    """

    twin = keras.layers.GroupQueryAttention
