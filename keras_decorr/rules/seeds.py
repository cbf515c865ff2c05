"""Checks and draws the seeds of learning rules."""

from typing import Any

import keras
from keras import ops


def check_seed(owner: str, seed: Any) -> int | None:
    """Returns `seed` if it is an integer or `None`.

    Raises:
        ValueError: If it is not; the message names the argument.
    """
    if seed is not None and not isinstance(seed, int):
        raise ValueError(
            f"Argument `seed` of {owner} must be an integer or None. Received: {seed!r}"
        )
    return seed


def drawn_seed(seed: Any) -> int:
    """Returns the seed as an integer; one drawn from Keras's global seed if it is `None`."""
    if seed is None:
        seed = keras.random.randint((), 0, 2**30)
    return int(ops.convert_to_numpy(seed))
