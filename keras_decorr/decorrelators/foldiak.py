"""Foldiak's anti-Hebbian rule (P. Foldiak, 1989, 1990)."""

import keras

from keras_decorr.decorrelators.lateral import Lateral
from keras_decorr.decorrelators.structures import Stage
from keras_decorr.maths.foldiak import foldiak_step
from keras_decorr.typing import Tensor


@keras.saving.register_keras_serializable(package="keras_decorr")
class Foldiak(Lateral):
    """Decorrelates by anti-Hebbian lateral weights: units that fire together inhibit each other.

    Every unit gets its input and, through symmetric weights `W` without a diagonal, the outputs of the
    others, until `u = z + W u`. With `L = I - W` that is the fixed point of `tau du/dt = z - L u`, and
    `M = L^-1`. After each training step, with `C_off` the correlation `C = U^T U / k` without its
    diagonal:

        W <- W - eta_M C_off,    that is    L <- L + eta_M C_off

    It rests where the outputs are uncorrelated. This is the linear form: Foldiak's network of 1990 adds
    a threshold to each unit, Hebbian forward weights, and a wanted rate of joint firing `p^2`, so that
    `dW_ij = -eta (u_i u_j - p^2)`; here `p = 0`, as inputs are centred.

    Derivation. As `u = M z`, a step `dL` changes `C` by `-M dL C - C dL M` (L and M are symmetric).
    Near rest, where C is nearly a diagonal D, `dL = eta C_off` makes that
    `-eta (M C_off D + D C_off M)`. The correlations fall as long as M is positive definite, as it is at
    the start: the sum of their squares by at least `4 eta d_min / l_max(L)` of itself a step.

    There is no gain. The diagonal of L stays 1, and an output loses the variance that the others share.

    Args:
        learning_rate: See `Decorrelator`. Defaults to 2e-4.
        step_size: See `Lateral`: Euler's step `dt / tau`; by default one that is safe for `L`.
        steps: The most steps of the integration. Defaults to 100.
        tolerance: Relative residual at rest. Defaults to 1e-4.
        **kwargs: See `Decorrelator`: `sample_fraction`, `max_samples`, `update_every`, `center`,
            `momentum`, `structure` (any but `"low_rank"`), `rows`.

    Raises:
        ValueError: If an argument is out of its range, or `structure` is `"low_rank"`.

    Example:

    >>> import keras_decorr
    >>> decorrelator = keras_decorr.decorrelators.Foldiak(learning_rate=1e-3)
    >>> layer = keras_decorr.layers.DecorDense(10, decorrelator=decorrelator)

    Reference:
        P. Foldiak, "Forming sparse representations by local anti-Hebbian learning", Biological
        Cybernetics 64, 165-170 (1990). The linear form: "Adaptive network for optimal linear feature
        extraction", IJCNN (1989).
    """

    def step(self, stage: Stage, eta: Tensor) -> tuple:
        return (foldiak_step(stage.M, stage.U, eta, stage.row_axis),)
