"""Classifies images."""

import dataclasses
from typing import Any

import keras
import numpy as np

from keras_decorr import datasets
from keras_decorr.cli.tasks.task import Task


class Classification(Task):
    """Classifies images; nets are compared by the accuracy on the test images."""

    noun = "images"
    datasets = datasets.IMAGES
    part, figure, larger_is_better = "test", "accuracy", True
    unit, units, digits = "points", 100.0, 1

    def load(self, config: Any) -> Any:
        return datasets.load(config.dataset, config.data_dir)

    def split(self, data: Any, config: Any) -> Any:
        """Splits the training images, in an order drawn by the seed.

        Means and deviations of the channels are those of the part to train on.
        """
        data.first(config.train_size)  # or an error
        order = np.random.default_rng(config.seed).permutation(len(data.x_train))
        order = order[: config.train_size]
        count = round(config.validation * len(order))
        self.check_split(count >= 1 and len(order) - count >= config.batch_size, config)
        for_validation, for_training = order[:count], order[count:]
        return dataclasses.replace(
            data,
            x_train=data.x_train[for_training],
            y_train=data.y_train[for_training],
            x_test=data.x_train[for_validation],
            y_test=data.y_train[for_validation],
        )

    def samples(self, data: Any) -> int:
        return len(data.x_train)

    def train(self, data: Any, config: Any, seed: int) -> Any:
        return data.train(config.batch_size, config.augment, seed=seed)

    def held_out(self, data: Any) -> Any:
        return data.test(1024)

    def net_arguments(self, data: Any) -> dict[str, Any]:
        return {
            "input_shape": data.input_shape,
            "classes": data.classes,
            "classifier_activation": None,
        }

    def metrics(self, data: Any) -> list:
        """Returns the accuracy, and that of the five best classes if there are more than ten."""
        if data.classes <= 10:
            return ["accuracy"]
        return ["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(5, name="top_5_accuracy")]
