"""Predicts the next character of a text."""

import dataclasses
import math
from typing import Any

from keras_decorr import datasets
from keras_decorr.cli.tasks.task import Task


class NextCharacter(Task):
    """Predicts the next character of a text; nets are compared by the loss on the validation part.

    The loss is the cross-entropy of a character in nats. The perplexity is `exp(loss)`.
    """

    noun = "texts"
    datasets = datasets.TEXTS
    batch_size = 64
    part, figure, larger_is_better = "validation", "loss", False
    unit, units, digits = "nats", 1.0, 3

    @property
    def words(self) -> str:
        return f"{super().words} (perplexity)"

    def shown(self, score: float) -> str:
        return f"{score:.4f} ({_perplexity(score):.2f})"

    def load(self, config: Any) -> Any:
        text: Any = datasets.load(config.dataset, config.data_dir)
        return dataclasses.replace(text, context=config.context or text.context)

    def split(self, data: Any, config: Any) -> Any:
        """Splits the text for training: its end is for validation."""
        tokens = data.first(config.train_size).train_tokens
        count = round(config.validation * len(tokens))
        parts = dataclasses.replace(
            data, train_tokens=tokens[: len(tokens) - count], validation_tokens=tokens[-count:]
        )
        enough = count > data.context and parts.windows >= config.batch_size
        self.check_split(enough, config)
        return parts

    def samples(self, data: Any) -> int:
        windows: int = data.windows
        return windows

    def train(self, data: Any, config: Any, seed: int) -> Any:
        return data.train(config.batch_size, seed=seed)

    def held_out(self, data: Any) -> Any:
        return data.validation(self.batch_size)

    def net_arguments(self, data: Any) -> dict[str, Any]:
        return {"context": data.context, "vocabulary_size": data.classes}

    def metrics(self, data: Any) -> list:
        return []

    def figures(self, logs: dict[str, float]) -> dict[str, float]:
        return {**logs, "perplexity": _perplexity(logs["loss"])}


def _perplexity(loss: float) -> float:
    return math.exp(min(loss, 700.0))  # a larger one overflows
