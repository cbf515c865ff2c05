"""What a net learns from a kind of data sets."""

import math
from typing import Any

import keras


class Task:
    """Defines how nets learn from a kind of data sets, and the score by which they are compared.

    Attributes:
        noun: What the data sets hold, such as `"images"`.
        datasets: Their names.
        batch_size: Default number of samples per batch.
        part: The part of the data on which nets are compared after every epoch, such as `"test"`.
        figure: The metric by which they are compared, such as `"accuracy"`.
        larger_is_better: Whether a larger figure is better.
        unit: Unit of a gain, such as `"points"`.
        units: Number of these units in a figure of 1.
        digits: Decimal places of a gain.
    """

    noun: str
    datasets: tuple[str, ...]
    batch_size = 256
    part: str
    figure: str
    larger_is_better: bool
    unit: str
    units: float
    digits: int

    @property
    def score(self) -> str:
        """The column of the table of epochs by which nets are compared, such as `"test_accuracy"`."""
        return f"{self.part}_{self.figure}"

    @property
    def words(self) -> str:
        """The score in words, such as `"test accuracy"`."""
        return f"{self.part} {self.figure}"

    def best(self, scores: Any) -> Any:
        """Returns the best of some scores, without those that are NaN; NaN if all are."""
        known = [score for score in scores if not math.isnan(score)]
        return (max if self.larger_is_better else min)(known, default=math.nan)

    def reached(self, scores: Any, target: float) -> Any:
        """Returns for each of an array of scores whether it is at least as good as a target."""
        return scores >= target if self.larger_is_better else scores <= target

    def gain(self, score: float, other: float) -> float:
        """Returns by how much a score is better than another one, in units."""
        return self.units * (score - other if self.larger_is_better else other - score)

    def shown(self, score: float) -> str:
        """Returns a score as tables show it."""
        return f"{score:.4f}"

    # --- what the data sets differ in ---------------------------------------------------------

    def load(self, config: Any) -> Any:
        """Loads the data set of a `NetConfig`, with all of its samples."""
        raise NotImplementedError

    def split(self, data: Any, config: Any) -> Any:
        """Splits what is for training into a part to train on and one for validation.

        Args:
            data: The data set.
            config: A `TuningConfig`: `train_size` says how much to use, `validation` which share of it
                is for validation.

        Returns:
            A data set, whose `held_out` part is the one for validation.

        Raises:
            ValueError: If there is less than is asked for, or than a batch to train on, or if nothing
                is left for validation.
        """
        raise NotImplementedError

    def samples(self, data: Any) -> int:
        """Returns the number of samples for training in an epoch."""
        raise NotImplementedError

    def train(self, data: Any, config: Any, seed: int) -> Any:
        """Returns the batches of an epoch of training."""
        raise NotImplementedError

    def held_out(self, data: Any) -> Any:
        """Returns the batches of the part on which nets are compared."""
        raise NotImplementedError

    def net_arguments(self, data: Any) -> dict[str, Any]:
        """Returns the arguments of the function of `keras_decorr.models` that the data decide."""
        raise NotImplementedError

    def metrics(self, data: Any) -> list:
        """Returns the metrics to compile a net with."""
        raise NotImplementedError

    def figures(self, logs: dict[str, float]) -> dict[str, float]:
        """Returns the logs of an epoch or an evaluation with what follows from them."""
        return logs

    def loss(self) -> keras.losses.Loss:
        """Returns the loss of nets that return logits."""
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def check_split(self, enough: bool, config: Any) -> None:
        """Raises ValueError, which names the options, unless both parts of a split are large enough."""
        if not enough:
            raise ValueError(
                "Options --train-size, --validation and --batch-size must leave a batch of training "
                f"{self.noun} and something for validation. Received: --train-size "
                f"{config.train_size}, --validation {config.validation:g}, --batch-size "
                f"{config.batch_size}"
            )

    def batches(self, data: Any, batch_size: int) -> int:
        """Returns the number of batches in an epoch of training."""
        return -(-self.samples(data) // batch_size)
