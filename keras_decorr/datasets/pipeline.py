"""What the pipelines of all data sets share."""

from collections.abc import Sequence
from typing import Any


def fed(data: Any) -> Any:
    """Prepares batches while the model trains, without tf.data's tuner.

    There is nothing to tune here, and at the end of an epoch the tuner can hold an iterator back
    until its next round, which comes 10, 20, 40, ... ms later: up to half of the epoch.
    """
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    return data.prefetch(2).with_options(options)


def check_sizes(
    name: str, sizes: Sequence[int], wanted: Sequence[int | None], unit: str = "images"
) -> None:
    """Raises an error if more is asked for than a data set has.

    Args:
        name: Name of the data set.
        sizes: Numbers of its images for training and testing.
        wanted: Numbers of those to take; `None` for all.
        unit: What is counted, for the message.

    Raises:
        ValueError: If there are not that many.
    """
    for part, there, number in zip(("train_size", "test_size"), sizes, wanted, strict=True):
        if number is not None and not 1 <= number <= there:
            raise ValueError(
                f"Argument `{part}` of the data set {name!r} must be between 1 and {there}, the "
                f"{unit} that it has. Received: {number}"
            )
