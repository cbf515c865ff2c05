"""The norm-preserving rule (N. Ahmad, arXiv 2407.10780)."""

import keras

from keras_decorr.decorrelators.decorrelator import Decorrelator
from keras_decorr.maths import norm_preserving


@keras.saving.register_keras_serializable(package="keras_decorr")
class NormPreserving(Decorrelator):
    """Removes correlations and keeps the norm of the activations.

    With `C = U^T U / k` the correlation of the decorrelated inputs of the `k` sampled rows, after
    each training step:

        g = mean_k(||x_k|| / ||u_k||)
        M <- g M - eta_M C (g M)

    Where M has several stages (`structure="monarch"`), each has its own `C` and `g`.

    Args:
        **kwargs: See `Decorrelator`: `learning_rate`, `sample_fraction`, `max_samples`,
            `update_every`, `center`, `momentum`, `structure`, `groups`, `rank`.

    Example:

    >>> import keras_decorr
    >>> decorrelator = keras_decorr.decorrelators.NormPreserving(learning_rate=1e-5)
    >>> layer = keras_decorr.layers.DecorDense(10, decorrelator=decorrelator)

    Reference:
        N. Ahmad, "Correlations Are Ruining Your Gradient Descent", arXiv 2407.10780.
    """

    def gain(self, x2, u2):
        return norm_preserving.gain(x2, u2)

    def step(self, M, U, g, eta, rows=None, row_axis=-2, Z=None, memory=()):
        return norm_preserving.norm_preserving_step(M, U, g, eta, rows, row_axis)
