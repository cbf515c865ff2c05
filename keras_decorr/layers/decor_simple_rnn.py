"""A SimpleRNN on decorrelated inputs."""

import keras

from keras_decorr.layers.decor_rnn_layer import DecorRNNLayer
from keras_decorr.layers.twin import register


@register
class DecorSimpleRNN(DecorRNNLayer, keras.layers.SimpleRNN):
    """`keras.layers.SimpleRNN` whose inputs are decorrelated, by one M for all gates and all steps.

    Args:
        *args: As in `keras.layers.SimpleRNN`: `units`, `activation`, ...
        decorrelator: Name of a decorrelation rule, a `keras_decorr.decorrelators.Decorrelator`, or
            `None` for a plain layer. Defaults to `"norm_preserving"`.
        **kwargs: As in `keras.layers.SimpleRNN`.

    Call arguments:
        sequences: Tensor `(batch, steps, n)`.
        initial_state: List of initial state tensors.
        mask: Boolean mask `(batch, steps)`. Steps with False do not count in the statistics.
        training: Use the mean of the batch, and update M. Defaults to False.

    Raises:
        ValueError: If the number of features `n` is unknown.

    Example:

    >>> import numpy as np, keras_decorr
    >>> layer = keras_decorr.layers.DecorSimpleRNN(5)
    >>> tuple(layer(np.ones((3, 7, 4), "float32")).shape)
    (3, 5)
    """

    twin = keras.layers.SimpleRNN
