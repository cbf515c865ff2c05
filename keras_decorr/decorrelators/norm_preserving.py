"""The norm-preserving rule (N. Ahmad, arXiv 2407.10780)."""

import math
from typing import Any, Self

import keras
from keras import ops

from keras_decorr.decorrelators.arguments import check_number
from keras_decorr.decorrelators.preserving import GAIN_RATE, NORMS, Preserving
from keras_decorr.decorrelators.structures import Stage
from keras_decorr.maths import norm_preserving
from keras_decorr.typing import Tensor

DAMPING = 1.0


@keras.saving.register_keras_serializable(package="keras_decorr")
class NormPreserving(Preserving):
    """Removes correlations and keeps the norm of the activations.

    With `C = U^T U / k` the correlation of the decorrelated inputs `u = M z` of the `k` sampled rows,
    after each training step:

        g = mean_k(||z_k|| / ||u_k||)^a
        M <- g M - eta_M (C + d mean(z^2) M M^T) (g M)

    A rate above `0.95 / ||C||_F` is lowered to it, so that a step never overshoots, whatever the size
    of the inputs. Where M has several stages (`structure="monarch"`), each has its own `C` and `g`.
    The paper compares with the norm of the raw inputs `x` instead of the centred ones `z`,
    `preserve="raw"`, and takes the gain whole, `a = 1`.

    Args:
        learning_rate: See `Decorrelator`. Defaults to 1e-2.
        preserve: The norm that M keeps: `"centred"` (default), `"raw"` or `"nothing"`. With `"raw"` M
            makes up for the mean that is taken away, too: a dense net on CIFAR-10 learned less with it
            (see docs/ablations.md). With `"nothing"` (`g = 1`) it only ever takes something away.
        gain_rate: The exponent `a` of the gain, in (0, 1]; a step takes more where M would be off by
            more than a factor of 1.5 afterwards. Defaults to 0.1, with which the size of M follows the
            mean of some twenty steps; with 1 it wavers with the few rows that are sampled, most after
            a short last batch.
        update_every: See `Decorrelator`. Defaults to 4: rare and larger updates learned at least as
            well as small ones in every step (docs/results.md).
        damping: `d`, at least 0. Beside `C` counts the covariance that white noise of `d` times the
            variance of the inputs would have in the outputs. So M comes to rest at soft whitening,
            `(C_x + d mean(l) I)^(-1/2)` up to its norm. Whitening, with `d = 0` as in the paper,
            amplifies directions that are noise. Defaults to 1, which makes a high rate safe
            (docs/results.md).
        **kwargs: See `Decorrelator`: `sample_fraction`, `max_samples`, `center`, `momentum`,
            `structure`, `rows`, `acts_on`, `follow_optimizer`.

    Raises:
        ValueError: If an argument is out of its range.

    Example:

    >>> import keras_decorr
    >>> decorrelator = keras_decorr.decorrelators.NormPreserving(learning_rate=1e-4)
    >>> layer = keras_decorr.layers.DecorDense(10, decorrelator=decorrelator)

    Reference:
        N. Ahmad, "Correlations Are Ruining Your Gradient Descent", arXiv 2407.10780.
    """

    def __init__(
        self,
        learning_rate: Any = 1e-2,
        preserve: str = NORMS[0],
        gain_rate: float = GAIN_RATE,
        update_every: int = 4,
        damping: float = DAMPING,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, preserve, gain_rate, update_every=update_every, **kwargs)
        self.damping = check_number(type(self).__name__, "damping", damping, 0.0)

    def step(self, stage: Stage, eta: Tensor) -> tuple:
        step = norm_preserving.norm_preserving_step
        g, noise = self.gain(stage), None
        if self.damping:
            features = math.prod(stage.M.shape[:-1])
            noise = self.damping * ops.mean(stage.x2) / features
        return (step(stage.M, stage.U, g, eta, stage.expected_rows, stage.row_axis, noise),)

    def step_cost(self, k: int, m: int) -> int:
        # With damping C is formed, of which M M^T is a part.
        return k * m**2 + 2 * m**3 if self.damping else super().step_cost(k, m)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "damping": self.damping}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        # A file of version 0.1.0, which had no damping, goes on with the rule it has.
        return super().from_config({"damping": 0.0, **config})
