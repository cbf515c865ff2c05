"""The options of `keras-decorr tune`, checked before any work is done."""

from dataclasses import dataclass
from typing import Annotated, Any

import keras
from typer import Option

from keras_decorr.cli.allowed import Count, Number, OneOf, check_option, one_of
from keras_decorr.cli.net_config import NetConfig
from keras_decorr.cli.optimizers import OPTIMIZERS
from keras_decorr.decorrelators import DECORRELATORS
from keras_decorr.tuning.rates import log_values, written

TUNERS = ("random", "bayesian", "hyperband", "grid")
_DECADE = 10  # a range reaches so far to either side of the default


@dataclass(frozen=True)
class TuningConfig(NetConfig):
    """Holds what decides the result of a search, but for what several workers do to its order.

    Ranges are (low, high). Without one, it reaches from a tenth of the net's default to ten times that.
    The net's default rates are always among those searched, and so is 0 for the decorrelation rate.
    """

    decorrelator: Annotated[str, Option(help=one_of(DECORRELATORS)), OneOf(DECORRELATORS)] = (
        "norm_preserving"
    )
    max_samples: Annotated[
        tuple[int, ...],
        Option(help="rows or patches per update; several to search them"),
        Count(),
    ] = ()
    tuner: Annotated[str, Option(help=one_of(TUNERS)), OneOf(TUNERS)] = "bayesian"
    trials: Annotated[
        int | None,
        Option(help="most trials; default: 20, all of a grid; hyperband decides for itself"),
        Count(),
    ] = None
    epochs: Annotated[int, Option(help="epochs of a trial; of hyperband's longest"), Count()] = 5
    learning_rates: Annotated[
        tuple[float, float] | None,
        Option(
            help="lowest and highest forward rate; the net's default is searched, too; without them: "
            "a tenth of that to ten times that"
        ),
    ] = None
    decorrelation_rates: Annotated[
        tuple[float, float] | None,
        Option(
            help="lowest and highest rate of M; 0 and the net's default are searched, too; without "
            "them: in the same way"
        ),
    ] = None
    per_decade: Annotated[
        int, Option(help="rates in a factor of ten: 1, 2 (1, 3, 10) or 3 (1, 2, 5, 10)")
    ] = 2
    optimizer: Annotated[
        tuple[str, ...],
        Option(help=f"Keras's: {one_of(OPTIMIZERS)}; several to search them"),
        OneOf(OPTIMIZERS),
    ] = ("adam",)
    validation: Annotated[
        float,
        Option(help="share of what is for training to tune on, in (0, 0.9]"),
        Number(0.0, 0.9, open_low=True),
    ] = 0.1
    seed: Annotated[int, Option(help="of the proposals, the weights and the batches"), Count(0)] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tuner == "hyperband" and self.trials is not None:
            raise ValueError(
                "Option --trials is not for --tuner hyperband, which plans its trials from --epochs. "
                f"Received: --trials {self.trials}"
            )
        if self.tuner in ("random", "bayesian") and self.trials is None:
            object.__setattr__(self, "trials", 20)
        allowed = Number(0.0, DECORRELATORS[self.decorrelator].highest_rate, open_low=True)
        for rate in self.decorrelation_rates or ():
            owner = f" of --decorrelator {self.decorrelator}"
            check_option("--decorrelation-rates", rate, allowed, owner)
        self._values("learning-rates"), self._values("decorrelation-rates")

    def new_decorrelator(self) -> Any:
        """Makes the `Decorrelator` whose rate, structure and samples the trials change."""
        return self.make_decorrelator(self.decorrelator, self.structure[0])

    @property
    def defaults(self) -> dict:
        """The net's default rates with the first rule and structure: `{hyperparameter: value}`."""
        return {
            "learning_rate": self.kind.learning_rates[self.rule[0]][True],
            "decorrelation_rate": self.default_rate(self.decorrelator, self.structure[0]),
        }

    @property
    def searched_learning_rates(self) -> tuple:
        """The forward rates, the default among them."""
        return tuple(sorted({*self._values("learning-rates"), self.defaults["learning_rate"]}))

    @property
    def searched_decorrelation_rates(self) -> tuple:
        """The decorrelation rates, 0 and the default among them."""
        default = self.defaults["decorrelation_rate"]
        return (0.0, *sorted({*self._values("decorrelation-rates"), default}))

    def _values(self, option: str) -> Any:
        name = option.replace("-", "_")
        default = self.defaults[name.removesuffix("s")]
        low, high = getattr(self, name) or (default / _DECADE, default * _DECADE)
        try:
            return log_values(low, high, self.per_decade)
        except ValueError as error:
            raise ValueError(
                f"Options --{option} and --per-decade must leave something to search: {error}"
            ) from None

    def description(self) -> dict:
        """Returns what the results folder says of the search."""
        return {
            "config": self.to_dict(),
            "learning_rates": [written(rate) for rate in self.searched_learning_rates],
            "decorrelation_rates": [written(r) for r in self.searched_decorrelation_rates],
            "defaults": self.defaults,
            "backend": keras.backend.backend(),
        }
