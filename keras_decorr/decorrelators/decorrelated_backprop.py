"""The rule of decorrelated backpropagation (S. Dalm et al., arXiv 2405.02385)."""

from typing import Any

import keras

from keras_decorr.decorrelators.arguments import check_number
from keras_decorr.decorrelators.decorrelator import Decorrelator
from keras_decorr.decorrelators.structures import Stage
from keras_decorr.maths.decorrelated_backprop import decorrelated_backprop_step
from keras_decorr.typing import Tensor


@keras.saving.register_keras_serializable(package="keras_decorr")
class DecorrelatedBackprop(Decorrelator):
    """Removes correlations and pulls the variance of every feature towards 1.

    With `C_off` the correlation `C = U^T U / k` without its diagonal and `v = mean_k(u_k^2 - 1)`:

        M <- M - eta_M ((1 - kappa) C_off M + kappa diag(v) M)

    Args:
        kappa: Weight of the variance in [0, 1]: 0 decorrelates only, 1 normalises only.
            Defaults to 0.5.
        **kwargs: See `Decorrelator`: `learning_rate` (2e-4), `sample_fraction`, `max_samples`,
            `update_every`, `center`, `momentum`, `structure`, `rows`.

    A low-rank M would act on the principal directions of the inputs, and there the rule finds nothing
    to do: they are uncorrelated, and their variance is not that of a feature. So there is none.

    Raises:
        ValueError: If `kappa` is outside [0, 1], or `structure` is `"low_rank"`.

    Example:

    >>> import keras_decorr
    >>> decorrelator = keras_decorr.decorrelators.DecorrelatedBackprop(kappa=0.5)
    >>> layer = keras_decorr.layers.DecorDense(10, decorrelator=decorrelator)

    Reference:
        S. Dalm et al., "Efficient Deep Learning with Decorrelated Backpropagation",
        arXiv 2405.02385.
    """

    structures = tuple(name for name in Decorrelator.structures if name != "low_rank")

    def __init__(self, kappa: float = 0.5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kappa = check_number(type(self).__name__, "kappa", kappa, 0.0, 1.0)

    def step(self, stage: Stage, eta: Tensor) -> tuple:
        M, U = stage.M, stage.U
        step = decorrelated_backprop_step(
            M, U, self.kappa, eta, stage.expected_rows, stage.row_axis
        )
        return (step,)

    def get_config(self) -> dict[str, Any]:
        return {"kappa": self.kappa, **super().get_config()}
