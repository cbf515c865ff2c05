"""The nets of the command line, with the rates that they are known to do well with."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from keras_decorr import models
from keras_decorr.cli.tasks import IMAGES, TEXTS, Task


@dataclass(frozen=True)
class Kind:
    """Describes a net of the command line.

    Attributes:
        build: The function of `keras_decorr.models`.
        learning_rates: Adam's, (without, with decorrelation), for each rule that can train it. Tuned on
            CIFAR-10 with random crops and flips and batches of 256, each by the test accuracy after a
            few epochs.
        decorrelation_rates: Those of M that did well there, by structure.
        has_width: Whether `--width` sets its size.
        task: What it learns.
        normalises: Whether it has BatchNormalization or LayerNormalization of its own.
    """

    build: Callable[..., Any]
    learning_rates: dict[str, tuple[float, float]]
    decorrelation_rates: dict[str, float] = field(default_factory=dict)
    has_width: bool = False
    normalises: bool = False
    task: Task = IMAGES

    def decorrelation_rate(self, structure: Any) -> Any:
        """Returns the rate of M for a structure; where none was tried, that of Monarch."""
        return self.decorrelation_rates.get(structure, self.decorrelation_rates["monarch"])


_DENSE = Kind(
    models.dense_net,
    {
        "backprop": (3e-4, 3e-4),
        "feedback_alignment": (1e-4, 3e-4),
        "direct_feedback_alignment": (1e-4, 3e-4),
        "node_perturbation": (1e-4, 3e-4),
    },
    {"full": 1e-4, "block_diagonal": 5e-4, "monarch": 2e-4},
)

NETS = {
    "dense": _DENSE,
    # With the rates of the deep one: none were sought for it.
    "two_layer": replace(_DENSE, build=functools.partial(models.dense_net, hidden=(1000,))),
    "conv": Kind(
        models.conv_net,
        {
            "backprop": (1e-3, 1e-3),
            "feedback_alignment": (3e-4, 3e-4),
            "direct_feedback_alignment": (3e-4, 3e-4),
            "node_perturbation": (1e-3, 3e-4),
        },
        {"full": 5e-4, "block_diagonal": 2e-3, "monarch": 2e-3},
    ),
    "resnet18": Kind(
        models.resnet18,
        {"backprop": (1e-3, 1e-3), "feedback_alignment": (1e-3, 1e-3)},
        {"monarch": 1e-4},
        has_width=True,
        normalises=True,
    ),
    "vit": Kind(
        models.vit,
        {"backprop": (1e-3, 1e-3)},
        {"monarch": 2e-3},
        has_width=True,
        normalises=True,
    ),
    # Of a constant rate, with which none were sought: below those that did well with a schedule.
    "gpt": Kind(
        models.gpt,
        {"backprop": (1e-3, 1e-3)},
        {"monarch": 2e-3},
        has_width=True,
        normalises=True,
        task=TEXTS,
    ),
}
