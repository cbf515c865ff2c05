"""What a comparison consists of, checked before any work is done."""

import dataclasses
import math
from dataclasses import dataclass

from keras_decorr.datasets import NAMES
from keras_decorr.decorrelators import DECORRELATORS
from keras_decorr.decorrelators.arguments import check_count, check_number
from keras_decorr.decorrelators.structures import STRUCTURES

# Decorrelation rates that did well on CIFAR-10; see the table in the README. An epoch of the digits
# has a fourth of the steps at most, and M has to get as far in it.
DIGITS_RATE = 2e-3
RATES = {
    ("dense", "full"): 1e-5,
    ("dense", "block_diagonal"): 3e-5,
    ("dense", "monarch"): 5e-5,
    ("conv", "full"): 1e-4,
    ("conv", "block_diagonal"): 1e-4,
    ("conv", "monarch"): 1e-4,
}


@dataclass(frozen=True)
class Config:
    """Everything that decides the result of a comparison.

    With several learning rates every net is first trained with each of them for `tuning_epochs`,
    with the first seed, and then uses the one that gave it the best test accuracy.
    """

    dataset: str = "digits"
    data_dir: str | None = None
    net: str = "dense"
    epochs: int = 10
    batch_size: int = 64
    learning_rate: tuple[float, ...] = (1e-3,)
    tuning_epochs: int = 5
    decorrelator: str = "norm_preserving"
    decorrelation_rate: float | None = None
    structure: tuple[str, ...] = ("monarch",)
    groups: int = 16
    max_samples: int | None = None
    batch_normalization: bool = False
    augment: bool = True
    seeds: int = 1

    def __post_init__(self):
        _choice("--dataset", self.dataset, NAMES)
        _choice("--net", self.net, ("dense", "conv"))
        _choice("--decorrelator", self.decorrelator, DECORRELATORS)
        for structure in self.structure:
            _choice("--structure", structure, STRUCTURES)
        for name in ("epochs", "batch_size", "seeds", "tuning_epochs", "groups"):
            check_count("compare", f"--{name.replace('_', '-')}", getattr(self, name))
        for rate in self.learning_rate:
            check_number("compare", "--learning-rate", rate, 0.0, math.inf, open_low=True)
        if self.decorrelation_rate is not None:
            check_number("compare", "--decorrelation-rate", self.decorrelation_rate, 0.0)

    def rate(self, structure):
        """The decorrelation rate for a structure of M."""
        if self.decorrelation_rate is not None:
            return self.decorrelation_rate
        return DIGITS_RATE if self.dataset == "digits" else RATES[self.net, structure]

    @property
    def variants(self):
        """Names of the nets to compare; the plain one comes first."""
        batch_normalization = ("batch_normalization",) if self.batch_normalization else ()
        return ("plain", *batch_normalization, *self.structure)

    def to_dict(self):
        """The configuration as plain Python objects."""
        return dataclasses.asdict(self)


def _choice(name, value, choices):
    if value not in choices:
        raise ValueError(f"Option {name} must be one of {list(choices)}. Received: {value!r}")
