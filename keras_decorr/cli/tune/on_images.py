"""The models of a search on images, trained without the test images."""

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_decorr.tuning.hyper_model import DecorHyperModel


def held_out(images: Any, config: Any) -> Any:
    """Splits the training images into those to train on and those for validation.

    Args:
        images: An `Images`.
        config: A `TuningConfig`.

    Returns:
        An `Images` whose test images are for validation: a share of `validation`, drawn once by the
        seed. Means and deviations of the channels are those of the rest, too.

    Raises:
        ValueError: If there are fewer images than are asked for, or than a batch to train on, or if
            none is left for validation.
    """
    images.first(config.train_size)  # or an error
    order = np.random.default_rng(config.seed).permutation(len(images.x_train))[: config.train_size]
    count = round(config.validation * len(order))
    if count < 1 or len(order) - count < config.batch_size:
        raise ValueError(
            "Options --train-size, --validation and --batch-size must leave a batch of training images "
            f"and an image for validation. Received: {len(order)} images, --validation "
            f"{config.validation:g}, --batch-size {config.batch_size}"
        )
    for_validation, for_training = order[:count], order[count:]
    return dataclasses.replace(
        images,
        x_train=images.x_train[for_training],
        y_train=images.y_train[for_training],
        x_test=images.x_train[for_validation],
        y_test=images.y_train[for_validation],
    )


class ImagesHyperModel(DecorHyperModel):
    """Builds the nets of a `TuningConfig` and trains them on images.

    Every trial starts with the same weights and sees the same batches, whenever it is run.

    Args:
        config: A `TuningConfig`.
        images: What `held_out` gave.
    """

    def __init__(self, config: Any, images: Any) -> None:
        self.config, self.images = config, images
        super().__init__(
            self._net,
            learning_rates=config.searched_learning_rates,
            decorrelation_rates=config.searched_decorrelation_rates,
            decorrelator=config.new_decorrelator(),
            structures=config.structure,
            max_samples=config.max_samples or None,
            optimizers=config.optimizer,
            learning_rules=config.rule,
            defaults=config.defaults,
            seed=config.seed,
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )

    def _changed(self, rate: float, **arguments: Any) -> Any:
        if "structure" in arguments:  # its options are those of the command, in every trial
            arguments["structure"] = self.config.make_structure(arguments["structure"])
        return super()._changed(rate, **arguments)

    def _net(self, decorrelator: Any, learning_rule: Any) -> Any:
        return self.config.make_net(self.images, decorrelator, learning_rule)

    def fit(self, hp: Any, model: Any, *args: Any, callbacks: Sequence = (), **kwargs: Any) -> Any:
        """Trains a trial's model on the training part, and validates it on the rest."""
        # Hyperband resumes a trial, which must not see the same batches again.
        seed = 1000 * self.config.seed + kwargs.get("initial_epoch", 0)
        return super().fit(
            hp,
            model,
            self.images.train(self.config.batch_size, self.config.augment, seed=seed),
            validation_data=self.images.test(1024),
            callbacks=[Clock(), *callbacks],
            shuffle=False,
            **kwargs,
        )


class Clock(keras.callbacks.Callback):
    """Puts the epoch, from 1, and the seconds since the start of the training into the logs."""

    def on_train_begin(self, logs: dict | None = None) -> None:
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs |= {"epoch": epoch + 1, "seconds": time.perf_counter() - self.start}
