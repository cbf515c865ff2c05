"""What a comparison consists of, checked before any work is done."""

import dataclasses
import itertools
import math
from dataclasses import dataclass
from typing import Any, NamedTuple

from keras_decorr.cli.compare.nets import NETS
from keras_decorr.datasets import NAMES
from keras_decorr.decorrelators import DECORRELATORS
from keras_decorr.decorrelators.arguments import check_count, check_number
from keras_decorr.decorrelators.decorrelator import STRUCTURE
from keras_decorr.decorrelators.preserving import GAIN_RATE, NORMS, Preserving
from keras_decorr.models import FAN_IN_UNIFORM
from keras_decorr.rules import RULES

# Of M, on the digits: an epoch has a fourth of the steps at most, and M has to get as far in it.
DIGITS_RATE = 2e-3

# Of the kernels. Backpropagation alone starts as Keras does; a comparison with other rules as the paper
# does, with weights that are small beside the feedback.
INITIALIZERS = {"glorot_uniform": "glorot_uniform", "fan_in_uniform": FAN_IN_UNIFORM}

# The others compare forward passes, which must not differ in the statistics of a batch.
_WITH_BATCH_NORMALIZATION = ("backprop", "feedback_alignment", "direct_feedback_alignment")


class Net(NamedTuple):
    """A net of a comparison: the rule by which it learns, and what is done to its inputs."""

    rule: str
    variant: str

    @property
    def name(self):
        """Its name in files. Nets that learn by backpropagation are called by their variant."""
        return self.variant if self.rule == "backprop" else f"{self.rule}-{self.variant}"


class Decorrelation(NamedTuple):
    """How the inputs of a net are decorrelated: names of a rule and of a structure of M."""

    decorrelator: str
    structure: str


class Rates(NamedTuple):
    """Adam's rate, and that of M; `None` without decorrelation."""

    learning: float
    decorrelation: float | None


@dataclass(frozen=True)
class Config:
    """Everything that decides the result of a comparison.

    Every rule trains every variant: the plain net, one with BatchNormalization if it is asked for, and
    one for each structure of M with each decorrelator. Without learning rates, or decorrelation rates,
    they are those known to do well. With several, every net is first trained with each of them (with
    each pair, if it decorrelates) for `tuning_epochs`, with the first seed, and then uses those that
    gave it the best test accuracy. With a `train_size` or a `test_size` only so many images are used,
    the first ones.
    """

    dataset: str = "digits"
    data_dir: str | None = None
    net: str = "dense"
    width: int | None = None
    rule: tuple[str, ...] = ("backprop",)
    epochs: int = 10
    batch_size: int = 64
    learning_rate: tuple[float, ...] = ()
    tuning_epochs: int = 5
    decorrelator: tuple[str, ...] = ("norm_preserving",)
    decorrelation_rate: tuple[float, ...] = ()
    structure: tuple[str, ...] = (STRUCTURE,)
    preserve: str = "centred"
    gain_rate: float = GAIN_RATE
    groups: int = 32
    rank: int | None = None
    max_samples: int | None = None
    initializer: str = ""
    batch_normalization: bool = False
    augment: bool = True
    seeds: int = 1
    train_size: int | None = None
    test_size: int | None = None

    def __post_init__(self):
        _choice("--dataset", self.dataset, NAMES)
        _choice("--net", self.net, NETS)
        for rule in self.rule:
            _choice("--rule", rule, RULES)
            if rule not in self.kind.learning_rates:
                raise ValueError(
                    f"Option --rule must be one of {list(self.kind.learning_rates)} for this net. "
                    f"Received: --rule {rule} --net {self.net}"
                )
        for decorrelator in self.decorrelator:
            _choice("--decorrelator", decorrelator, DECORRELATORS)
            for structure in self.structure:
                _choice("--structure", structure, DECORRELATORS[decorrelator].structures)
        _choice("--preserve", self.preserve, NORMS)
        check_number("the command", "--gain-rate", self.gain_rate, 0.0, 1.0, open_low=True)
        for name, usual in (("preserve", NORMS[0]), ("gain_rate", GAIN_RATE)):
            given, option = getattr(self, name), f"--{name.replace('_', '-')}"
            if given != usual and not any(map(keeps_norm, self.decorrelator)):
                raise ValueError(
                    f"Option {option} is for the decorrelators "
                    f"{[name for name in DECORRELATORS if keeps_norm(name)]}. "
                    f"Received: {option} {given} --decorrelator {' '.join(self.decorrelator)}"
                )
        _choice("--initializer", self.initializer, ("", *INITIALIZERS))
        for name in ("epochs", "batch_size", "seeds", "tuning_epochs", "groups"):
            check_count("the command", f"--{name.replace('_', '-')}", getattr(self, name))
        for name in ("width", "rank", "max_samples", "train_size", "test_size"):
            if getattr(self, name) is not None:
                check_count("the command", f"--{name.replace('_', '-')}", getattr(self, name))
        for rate in self.learning_rate:
            check_number("the command", "--learning-rate", rate, 0.0, math.inf, open_low=True)
        for rate, name in itertools.product(self.decorrelation_rate, self.decorrelator):
            owner = f"--decorrelator {name}"
            check_number(owner, "--decorrelation-rate", rate, 0.0, highest_rate(name))
        if self.width is not None and not self.kind.has_width:
            raise ValueError(
                f"Option --width is for the nets {[n for n in NETS if NETS[n].has_width]}. "
                f"Received: --width {self.width} --net {self.net}"
            )
        if self.batch_normalization and self.kind.normalises:
            raise ValueError(
                "Option --batch-normalization is for nets without a normalisation of their own. "
                f"Received: --batch-normalization --net {self.net}"
            )
        refusing = [rule for rule in self.rule if rule not in _WITH_BATCH_NORMALIZATION]
        if self.batch_normalization and refusing:
            raise ValueError(
                "Option --batch-normalization does not go with a rule that compares forward passes. "
                f"Leave it out, or the rule. Received: --batch-normalization --rule {refusing[0]}"
            )

    @property
    def kind(self):
        """What is known of the net."""
        return NETS[self.net]

    def rates(self, net):
        """The `Rates` to try for a net; one if there is nothing to tune."""
        decorrelates = net.variant in self.decorrelations
        learning = self.learning_rate or (self.kind.learning_rates[net.rule][decorrelates],)
        decorrelation: tuple[float | None, ...] = (None,)
        if decorrelates:
            decorrelation = self.decorrelation_rate or (self.usual_rate(net),)
        return [Rates(*pair) for pair in itertools.product(learning, decorrelation)]

    def usual_rate(self, net):
        """The decorrelation rate that the folder of a net's run does not name."""
        if len(self.decorrelation_rate) == 1:
            return self.decorrelation_rate[0]
        decorrelator, structure = self.decorrelations[net.variant]
        if math.isfinite(highest_rate(decorrelator)):  # a running mean: its own rate
            return DECORRELATORS[decorrelator]().learning_rate
        if self.dataset == "digits":
            return DIGITS_RATE
        return self.kind.decorrelation_rate(structure)

    @property
    def decorrelations(self):
        """The variants that decorrelate, each a `Decorrelation`, by what tells them apart."""
        pairs = itertools.starmap(
            Decorrelation, itertools.product(self.decorrelator, self.structure)
        )
        if len(self.decorrelator) == 1:
            return {pair.structure: pair for pair in pairs}
        if len(self.structure) == 1:
            return {pair.decorrelator: pair for pair in pairs}
        return {"-".join(pair): pair for pair in pairs}

    def new_decorrelator(self, variant, rate=None):
        """The `Decorrelator` of a variant.

        Args:
            variant: A key of `decorrelations`.
            rate: Its decorrelation rate. Default: the decorrelator's own.
        """
        decorrelator, structure = self.decorrelations[variant]
        arguments: dict[str, Any] = {"structure": structure, "groups": self.groups}
        given = {"learning_rate": rate, "max_samples": self.max_samples, "rank": self.rank}
        arguments |= {name: value for name, value in given.items() if value is not None}
        if keeps_norm(decorrelator):
            arguments |= {"preserve": self.preserve, "gain_rate": self.gain_rate}
        return DECORRELATORS[decorrelator](**arguments)

    @property
    def kernel_initializer(self):
        """The initializer of all kernels of all nets, or `None` for the net's own."""
        alone = all(rule == "backprop" for rule in self.rule)
        if not self.initializer and alone:
            return None
        return INITIALIZERS[self.initializer or "fan_in_uniform"]

    @property
    def nets(self):
        """The nets to compare; of each rule the plain one comes first."""
        batch_normalization = ("batch_normalization",) if self.batch_normalization else ()
        variants = ("plain", *batch_normalization, *self.decorrelations)
        return tuple(Net(rule, variant) for rule in self.rule for variant in variants)

    def to_dict(self):
        """The configuration as plain Python objects."""
        return dataclasses.asdict(self)


def keeps_norm(decorrelator):
    """Whether the rule of that name has a norm to keep."""
    return issubclass(DECORRELATORS[decorrelator], Preserving)


def highest_rate(decorrelator):
    """The highest decorrelation rate that the rule of that name takes."""
    return DECORRELATORS[decorrelator].highest_rate


def _choice(name, value, choices):
    if value not in choices:
        raise ValueError(f"Option {name} must be one of {list(choices)}. Received: {value!r}")
