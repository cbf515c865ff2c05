"""The gain of the rules that keep the norm of the activations (N. Ahmad, arXiv 2407.10780)."""

from keras_decorr.decorrelators.decorrelator import Decorrelator
from keras_decorr.maths import norm_preserving

NORMS = ("centred", "raw", "nothing")


class Preserving(Decorrelator):
    """Base class of the rules with a gain `g = mean_k(||x_k|| / ||u_k||)`, of raw or centred `x`.

    Args:
        learning_rate: As in `Decorrelator`.
        preserve: The norm that M keeps. `"centred"` (default): that of `z = x - mean`, so that M does
            not make up for the mean that is taken away, and stays where it is at a rate of 0.
            `"raw"`: that of the inputs `x` as they come, as in the paper; a dense net on CIFAR-10
            learned less with it (see docs/ablations.md). `"nothing"`:
            `g = 1`; M then only ever takes something away, and the activations shrink.
        **kwargs: As in `Decorrelator`.

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(self, learning_rate=2e-4, preserve="centred", **kwargs):
        super().__init__(learning_rate, **kwargs)
        if preserve not in NORMS:
            raise ValueError(
                f"Argument `preserve` of {type(self).__name__} must be one of {list(NORMS)}. "
                f"Received: {preserve!r}"
            )
        self.preserve = preserve

    @property
    def compares_raw(self):
        return self.preserve == "raw"

    def gain(self, x2, u2):
        if self.preserve == "nothing":
            return super().gain(x2, u2)
        return norm_preserving.gain(x2, u2)

    def get_config(self):
        return {"preserve": self.preserve, **super().get_config()}
