"""What a search on a data set consists of, checked before any work is done."""

import dataclasses
import functools
from dataclasses import dataclass
from typing import Any

import keras

from keras_decorr.cli.compare.config import Config, Net, highest_rate
from keras_decorr.decorrelators.arguments import check_count, check_number
from keras_decorr.decorrelators.decorrelator import STRUCTURE
from keras_decorr.decorrelators.preserving import GAIN_RATE, NORMS
from keras_decorr.tuning.rates import log_values, written

TUNERS = ("random", "bayesian", "hyperband", "grid")
OPTIMIZERS = ("adam", "adamw", "nadam", "rmsprop", "sgd", "lion")
_DECADE = 10  # a range reaches so far to either side of the default


@dataclass(frozen=True)
class TuningConfig:
    """Everything that decides the result of a search, but for what several workers do to its order.

    Ranges are (low, high). Without one, it reaches from a tenth of the net's default to ten times that.
    The net's default rates are always among those searched, and so is 0 for the decorrelation rate.
    """

    dataset: str = "digits"
    data_dir: str | None = None
    net: str = "dense"
    width: int | None = None
    tuner: str = "bayesian"
    trials: int | None = None
    epochs: int = 5
    batch_size: int = 64
    learning_rates: tuple[float, float] | None = None
    decorrelation_rates: tuple[float, float] | None = None
    per_decade: int = 2
    rule: tuple[str, ...] = ("backprop",)
    optimizer: tuple[str, ...] = ("adam",)
    decorrelator: str = "norm_preserving"
    structure: tuple[str, ...] = (STRUCTURE,)
    preserve: str = NORMS[0]
    gain_rate: float = GAIN_RATE
    groups: int = 32
    rank: int | None = None
    max_samples: tuple[int, ...] = ()
    initializer: str = ""
    augment: bool = True
    validation: float = 0.1
    train_size: int | None = None
    seed: int = 0

    def __post_init__(self):
        if self.tuner not in TUNERS:
            raise ValueError(
                f"Option --tuner must be one of {list(TUNERS)}. Received: {self.tuner!r}"
            )
        for optimizer in self.optimizer:
            if optimizer not in OPTIMIZERS:
                raise ValueError(
                    f"Option --optimizer must be one of {list(OPTIMIZERS)}. Received: {optimizer!r}"
                )
        self._experiment  # noqa: B018, it checks what it shares with `compare`
        for name in ("trials", "train_size"):
            if getattr(self, name) is not None:
                check_count("tune", f"--{name.replace('_', '-')}", getattr(self, name))
        if self.tuner == "hyperband" and self.trials is not None:
            raise ValueError(
                "Option --trials is not for --tuner hyperband, which plans its trials from --epochs. "
                f"Received: --trials {self.trials}"
            )
        for count in self.max_samples:
            check_count("tune", "--max-samples", count)
        for rate in self.decorrelation_rates or ():
            owner, highest = f"--decorrelator {self.decorrelator}", highest_rate(self.decorrelator)
            check_number(owner, "--decorrelation-rates", rate, 0.0, highest, open_low=True)
        check_count("tune", "--seed", self.seed, 0)
        check_number("tune", "--validation", self.validation, 0.0, 0.9, open_low=True)
        self._values("learning-rates"), self._values("decorrelation-rates")

    @functools.cached_property
    def _experiment(self):
        return Config(
            dataset=self.dataset,
            net=self.net,
            width=self.width,
            rule=self.rule,
            epochs=self.epochs,
            batch_size=self.batch_size,
            decorrelator=(self.decorrelator,),
            structure=self.structure,
            preserve=self.preserve,
            gain_rate=self.gain_rate,
            groups=self.groups,
            rank=self.rank,
            initializer=self.initializer,
        )

    @property
    def kind(self):
        """What is known of the net."""
        return self._experiment.kind

    def new_decorrelator(self):
        """The `Decorrelator` that the trials change the rate, the structure and the samples of."""
        return self._experiment.new_decorrelator(self.structure[0])

    @property
    def kernel_initializer(self):
        """The initializer of all kernels, or `None` for the net's own."""
        return self._experiment.kernel_initializer

    @property
    def defaults(self):
        """The net's default rates, with the first rule and structure: `{hyperparameter: value}`."""
        net = Net(self.rule[0], self.structure[0])
        return {
            "learning_rate": self.kind.learning_rates[net.rule][True],
            "decorrelation_rate": self._experiment.usual_rate(net),
        }

    @property
    def searched_learning_rates(self):
        """The forward rates, the default among them."""
        return tuple(sorted({*self._values("learning-rates"), self.defaults["learning_rate"]}))

    @property
    def searched_decorrelation_rates(self):
        """The decorrelation rates, 0 and the default among them."""
        default = self.defaults["decorrelation_rate"]
        return (0.0, *sorted({*self._values("decorrelation-rates"), default}))

    def _values(self, option):
        name = option.replace("-", "_")
        default = self.defaults[name.removesuffix("s")]
        low, high = getattr(self, name) or (default / _DECADE, default * _DECADE)
        try:
            return log_values(low, high, self.per_decade)
        except ValueError as error:
            raise ValueError(
                f"Options --{option} and --per-decade must leave something to search: {error}"
            ) from None

    def to_dict(self):
        """The configuration as plain Python objects."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, saved):
        """The configuration that `to_dict` gave, by way of a JSON file."""
        arguments: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in saved.items()
        }
        return cls(**arguments)

    def description(self):
        """What the results folder says of the search."""
        return {
            "config": self.to_dict(),
            "learning_rates": [written(rate) for rate in self.searched_learning_rates],
            "decorrelation_rates": [written(r) for r in self.searched_decorrelation_rates],
            "defaults": self.defaults,
            "backend": keras.backend.backend(),
        }
