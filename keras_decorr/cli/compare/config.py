"""The options of `keras-decorr compare`, checked before any work is done."""

import itertools
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

from typer import Option

from keras_decorr.cli.allowed import Count, Number, OneOf, check_option, one_of
from keras_decorr.cli.net_config import NetConfig
from keras_decorr.cli.optimizers import LIKE_ADAM, OPTIMIZERS
from keras_decorr.decorrelators import DECORRELATORS

# The others compare forward passes, which must not differ in the statistics of a batch.
_WITH_BATCH_NORMALIZATION = ("backprop", "feedback_alignment", "direct_feedback_alignment")


class Net(NamedTuple):
    """Names a net of a comparison: its learning rule, and its variant, such as `"plain"`."""

    rule: str
    variant: str

    @property
    def name(self) -> str:
        """Its name in files. Nets that learn by backpropagation are called by their variant."""
        return self.variant if self.rule == "backprop" else f"{self.rule}-{self.variant}"


class Decorrelation(NamedTuple):
    """Names the decorrelator and the structure of M of a net."""

    decorrelator: str
    structure: str


class Rates(NamedTuple):
    """Holds the optimizer's rate, and that of M; `None` without decorrelation."""

    learning: float
    decorrelation: float | None


@dataclass(frozen=True)
class Config(NetConfig):
    """Holds everything that decides the result of a comparison.

    Every rule trains every variant: the plain net, one with BatchNormalization if it is asked for, and
    one for each structure of M with each decorrelator. Without learning rates, or decorrelation rates,
    they are those known to do well. With several, every net is first trained with each of them (with
    each pair, if it decorrelates) for `tuning_epochs`, with the first seed, and then uses those that
    gave it the best score, such as the test accuracy. A schedule always spans `epochs`. With a
    `test_size` only the first so many test images, or characters, are used.
    """

    decorrelator: Annotated[
        tuple[str, ...],
        Option(help=f"{one_of(DECORRELATORS)}; give several to compare them"),
        OneOf(DECORRELATORS),
    ] = ("norm_preserving",)
    max_samples: Annotated[
        int | None, Option(help="rows or patches per update; default: the decorrelator's"), Count()
    ] = None
    optimizer: Annotated[
        str, Option(help=f"Keras's optimizer: {one_of(OPTIMIZERS)}"), OneOf(OPTIMIZERS)
    ] = "adam"
    epochs: Annotated[int, Option(help="epochs of training"), Count()] = 10
    learning_rate: Annotated[
        tuple[float, ...],
        Option(
            help="the optimizer's rate; give several to tune it for every net; default: by net and "
            f"rule, for {one_of(LIKE_ADAM)}"
        ),
        Number(open_low=True),
    ] = ()
    decorrelation_rate: Annotated[
        tuple[float, ...],
        Option(
            help="rate of M per step; give several to tune it, too; default: by net and structure"
        ),
    ] = ()
    tuning_epochs: Annotated[int, Option(help="epochs for each rate to tune"), Count()] = 5
    batch_normalization: Annotated[bool, Option(help="compare with BatchNormalization, too")] = (
        False
    )
    seeds: Annotated[int, Option(help="number of seeds"), Count()] = 1
    test_size: Annotated[
        int | None,
        Option(help="use so many images or characters for testing; default: all"),
        Count(),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, rate in itertools.product(self.decorrelator, self.decorrelation_rate):
            allowed = Number(0.0, DECORRELATORS[name].highest_rate)
            check_option("--decorrelation-rate", rate, allowed, f" of --decorrelator {name}")
        if not self.learning_rate and self.optimizer not in LIKE_ADAM:
            raise ValueError(
                f"Option --learning-rate is needed but with --optimizer {one_of(LIKE_ADAM)}. "
                f"Received: --optimizer {self.optimizer}"
            )
        if not self.batch_normalization:
            return
        if self.kind.normalises:
            raise ValueError(
                "Option --batch-normalization is for nets without a normalisation of their own. "
                f"Received: --batch-normalization --net {self.net}"
            )
        refusing = [rule for rule in self.rule if rule not in _WITH_BATCH_NORMALIZATION]
        if refusing:
            raise ValueError(
                "Option --batch-normalization does not go with a rule that compares forward passes. "
                f"Leave it out, or the rule. Received: --batch-normalization --rule {refusing[0]}"
            )

    def rates(self, net: Any) -> list:
        """Returns a list of the `Rates` to try for a net; one if there is nothing to tune."""
        decorrelates = net.variant in self.decorrelations
        learning = self.learning_rate or (self.kind.learning_rates[net.rule][decorrelates],)
        decorrelation: tuple[float | None, ...] = (None,)
        if decorrelates:
            decorrelation = self.decorrelation_rate or (self.usual_rate(net),)
        return [Rates(*pair) for pair in itertools.product(learning, decorrelation)]

    def usual_rate(self, net: Any) -> Any:
        """Returns the decorrelation rate that the folder of a net's run does not name."""
        if len(self.decorrelation_rate) == 1:
            return self.decorrelation_rate[0]
        return self.default_rate(*self.decorrelations[net.variant])

    @property
    def decorrelations(self) -> dict:
        """The `Decorrelation` of each variant that decorrelates, by what tells the variants apart."""
        pairs = itertools.starmap(
            Decorrelation, itertools.product(self.decorrelator, self.structure)
        )
        if len(self.decorrelator) == 1:
            return {pair.structure: pair for pair in pairs}
        if len(self.structure) == 1:
            return {pair.decorrelator: pair for pair in pairs}
        return {"-".join(pair): pair for pair in pairs}

    def new_decorrelator(self, variant: Any, rate: float | None = None) -> Any:
        """Makes the `Decorrelator` of a variant; without a rate it has its own default."""
        pair = self.decorrelations[variant]
        return self.make_decorrelator(*pair, learning_rate=rate, max_samples=self.max_samples)

    @property
    def nets(self) -> tuple:
        """A tuple of the nets to compare; of each rule the plain one comes first."""
        batch_normalization = ("batch_normalization",) if self.batch_normalization else ()
        variants = ("plain", *batch_normalization, *self.decorrelations)
        return tuple(Net(rule, variant) for rule in self.rule for variant in variants)
