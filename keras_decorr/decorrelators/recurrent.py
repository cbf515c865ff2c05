"""The recurrent form of the norm-preserving rule (N. Ahmad, arXiv 2407.10780)."""

import keras

from keras_decorr.decorrelators.lateral import Lateral
from keras_decorr.decorrelators.preserving import Preserving
from keras_decorr.decorrelators.structures import Stage
from keras_decorr.maths.recurrent import recurrent_step
from keras_decorr.typing import Tensor


@keras.saving.register_keras_serializable(package="keras_decorr")
class Recurrent(Preserving, Lateral):
    """Decorrelates by lateral inhibition, each connection from the two activities it joins.

    The decorrelated inputs are the fixed point of `tau du/dt = z - L u`, so `u = L^-1 z`, `M = L^-1`.
    After each training step:

        g = mean_k(||z_k|| / ||u_k||)
        L <- (L + eta_M mean_k(z_k u_k^T)) / g

    Derivation. `NormPreserving` takes M to `g M - eta C (g M) = g (I - eta C) M`. The inverse of that
    is `(1 / g) L (I - eta C)^-1 = (1 / g) (L + eta L C + O(eta^2))`, and with `L u = z`

        L C = L mean(u u^T) = mean((L u) u^T) = mean(z u^T).

    So `dL_ij` needs input `i` and output `j` only. M becomes `g (I + eta C)^-1 M`, which differs from
    the linear rule by `g eta^2 C^2 M` and cannot overshoot, however high the rate. What can fail
    instead are the dynamics: the eigenvalues of L grow where the inputs vary most. Once the largest is
    above `2 / step_size` the activities explode, and the number of steps to settle grows as the ratio
    of the largest to the smallest. The logs of a `keras_decorr.Model` then show `unsettled_updates`.

    Gradients pass through the fixed point by implicit differentiation: that of `z` is the fixed point
    of `tau dv/dt = e - L^T v` for the gradient `e` of `u`. A kernel is folded by the same dynamics:
    `M^T K = L^-T K`.

    Args:
        learning_rate: See `Decorrelator`. Defaults to 2e-4.
        preserve: See `NormPreserving`. Defaults to `"centred"`.
        gain_rate: See `NormPreserving`. Defaults to 0.1.
        step_size: See `Lateral`: Euler's step `dt / tau`; by default one that is safe for `L`.
        steps: The most steps of the integration. Defaults to 100.
        tolerance: Relative residual at rest. Defaults to 1e-4.
        **kwargs: See `Decorrelator`: `sample_fraction`, `max_samples`, `update_every`, `center`,
            `momentum`, `structure` (any but `"low_rank"`), `rows`.

    Raises:
        ValueError: If an argument is out of its range, or `structure` is `"low_rank"`.

    Example:

    >>> import keras_decorr
    >>> decorrelator = keras_decorr.decorrelators.Recurrent(learning_rate=1e-5, steps=50)
    >>> layer = keras_decorr.layers.DecorDense(10, decorrelator=decorrelator)

    Reference:
        N. Ahmad, "Correlations Are Ruining Your Gradient Descent", arXiv 2407.10780.
    """

    def step(self, stage: Stage, eta: Tensor) -> tuple:
        g = self.gain(stage)
        return (recurrent_step(stage.M, stage.Z, stage.U, g, eta, stage.row_axis),)
