"""The gain of the rules that keep the norm of the activations (N. Ahmad, arXiv 2407.10780)."""

from typing import Any

from keras_decorr.decorrelators.arguments import check_number
from keras_decorr.decorrelators.decorrelator import LEARNING_RATE, Decorrelator
from keras_decorr.decorrelators.structures import Stage
from keras_decorr.maths import norm_preserving
from keras_decorr.typing import Tensor

NORMS = ("centred", "raw", "nothing")
GAIN_RATE = 0.1


class Preserving(Decorrelator):
    """Base class of the rules with a gain `g = mean_k(||x_k|| / ||u_k||)`, of raw or centred `x`.

    Args:
        learning_rate: As in `Decorrelator`.
        preserve: The norm that M keeps. `"centred"` (default): that of `z = x - mean`, so that M does
            not make up for the mean that is taken away, and stays where it is at a rate of 0.
            `"raw"`: that of the inputs `x` as they come, as in the paper; a dense net on CIFAR-10
            learned less with it (see docs/ablations.md). `"nothing"`:
            `g = 1`; M then only ever takes something away, and the activations shrink.
        gain_rate: A step takes `g ** gain_rate`, in (0, 1], and more where M would be off by more
            than a factor of 1.5 afterwards. Defaults to 0.1, so that the size of M follows the mean of
            some twenty steps. 1 takes it whole, as in the paper: the size of M then wavers with the few
            rows that are sampled, most after a short last batch, just before the net is tested.
        **kwargs: As in `Decorrelator`.

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(
        self,
        learning_rate: Any = LEARNING_RATE,
        preserve: str = "centred",
        gain_rate: float = GAIN_RATE,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        owner = type(self).__name__
        if preserve not in NORMS:
            raise ValueError(
                f"Argument `preserve` of {owner} must be one of {list(NORMS)}. "
                f"Received: {preserve!r}"
            )
        self.preserve = preserve
        self.gain_rate = check_number(owner, "gain_rate", gain_rate, 0.0, 1.0, open_low=True)

    def gain(self, stage: Stage) -> Tensor:
        """Returns the gain `g` of a stage, and of it what one step takes."""
        if self.preserve == "nothing":
            return 1.0
        x2 = stage.raw2 if self.preserve == "raw" else stage.x2
        return norm_preserving.slow_gain(
            norm_preserving.gain(x2, stage.u2, stage.weights), self.gain_rate
        )

    def get_config(self) -> dict[str, Any]:
        own = {"preserve": self.preserve, "gain_rate": self.gain_rate}
        return {**own, **super().get_config()}
