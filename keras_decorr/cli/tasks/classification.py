"""Classifies images."""

from typing import Any

import keras

from keras_decorr import datasets
from keras_decorr.cli.tasks.task import Task


class Classification(Task):
    """Classifies images; nets are compared by the accuracy on the test images."""

    noun = "images"
    datasets = datasets.IMAGES
    part, figure, larger_is_better = "test", "accuracy", True
    unit, units, digits = "in points", 100.0, 1

    def load(self, config: Any) -> Any:
        return datasets.load(config.dataset, config.data_dir)

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
