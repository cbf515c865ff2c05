"""Draws the feedback weights of the rules that have them."""

from collections.abc import Callable, Iterator
from typing import Any

import keras

from keras_decorr.decorrelators.arguments import check_number
from keras_decorr.rules.seeds import check_seed, drawn_seed
from keras_decorr.typing import Tensor


class FeedbackWeights:
    """Draws feedback weights, each from a seed of its own.

    Args:
        owner: Name of the class whose arguments these are.
        initializer: Keras initializer or its name.
        scale: Positive factor.
        seed: Integer, or `None` for one from Keras's global seed.
    """

    def __init__(self, owner: str, initializer: Any, scale: float, seed: int | None) -> None:
        try:
            self.initializer = keras.initializers.get(initializer)
        except ValueError as error:
            raise ValueError(
                f"Argument `feedback_initializer` of {owner} must be a Keras initializer or its name. "
                f"Received: {initializer!r}"
            ) from error
        self.scale = check_number(owner, "feedback_scale", scale, 0.0, open_low=True)
        self.seed = check_seed(owner, seed)

    def initializers(self) -> Iterator[Callable[..., Tensor]]:
        """Yields initializers without end, one for each variable."""
        seed = drawn_seed(self.seed)
        while True:
            yield self._seeded(seed)
            seed += 1

    def _seeded(self, seed: int) -> Callable[..., Tensor]:
        initializer = self.initializer
        if "seed" in (config := initializer.get_config()):
            initializer = type(initializer).from_config({**config, "seed": seed})
        return lambda shape, dtype=None: self.scale * initializer(shape, dtype=dtype)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments as plain Python objects."""
        return {
            "feedback_initializer": keras.initializers.serialize(self.initializer),
            "feedback_scale": self.scale,
            "seed": self.seed,
        }
