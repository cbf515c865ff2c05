"""The models of a search, trained on a part of the data for training."""

import functools
import time
from collections.abc import Sequence
from typing import Any

import keras

from keras_decorr.cli.optimizers import make_optimizer
from keras_decorr.tuning.hyper_model import DecorHyperModel


class NetHyperModel(DecorHyperModel):
    """Builds the nets of a `TuningConfig` and trains them.

    Every trial starts with the same weights and sees the same batches, whenever it is run.

    Args:
        config: A `TuningConfig`.
        data: The data set, of `Task.split`.
    """

    def __init__(self, config: Any, data: Any) -> None:
        self.config, self.data = config, data
        steps = config.epochs * config.task.batches(data, config.batch_size)
        super().__init__(
            self._net,
            learning_rates=config.searched_learning_rates,
            decorrelation_rates=config.searched_decorrelation_rates,
            decorrelator=config.new_decorrelator(),
            structures=config.structure,
            max_samples=config.max_samples or None,
            optimizers={
                name: functools.partial(make_optimizer, name, schedule=config.schedule, steps=steps)
                for name in config.optimizer
            },
            learning_rules=config.rule,
            defaults=config.defaults,
            seed=config.seed,
            loss=config.task.loss(),
            metrics=config.task.metrics(data),
        )

    def _changed(self, rate: float, **arguments: Any) -> Any:
        if "structure" in arguments:  # its options are those of the command, in every trial
            arguments["structure"] = self.config.make_structure(arguments["structure"])
        return super()._changed(rate, **arguments)

    def _net(self, decorrelator: Any, learning_rule: Any) -> Any:
        return self.config.make_net(self.data, decorrelator, learning_rule)

    def fit(self, hp: Any, model: Any, *args: Any, callbacks: Sequence = (), **kwargs: Any) -> Any:
        """Trains a trial's model on the training part, and validates it on the rest."""
        # Hyperband resumes a trial, which must not see the same batches again.
        seed = 1000 * self.config.seed + kwargs.get("initial_epoch", 0)
        return super().fit(
            hp,
            model,
            self.config.task.train(self.data, self.config, seed),
            validation_data=self.config.task.held_out(self.data),
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
