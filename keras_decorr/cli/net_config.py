"""The options that `compare` and `tune` share: those of the data, the net and its decorrelator."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Annotated, Any

from typer import Option

from keras_decorr.cli.allowed import Count, Number, OneOf, check_option, one_of
from keras_decorr.cli.nets import NETS
from keras_decorr.cli.optimizers import SCHEDULES
from keras_decorr.cli.options import DataDir, check_fields, fields
from keras_decorr.cli.tasks import TEXTS, task_of
from keras_decorr.datasets import NAMES
from keras_decorr.decorrelators import DECORRELATORS, STRUCTURES, NormPreserving
from keras_decorr.decorrelators.decorrelator import ROWS
from keras_decorr.decorrelators.preserving import GAIN_RATE, NORMS, Preserving
from keras_decorr.models import FAN_IN_UNIFORM
from keras_decorr.rules import RULES

# The rate of M for the digits: an epoch has at most a fourth of the steps that it has for the others.
DIGITS_RATE = 2e-3

# Of the kernels. Backpropagation alone starts as Keras does; a comparison with other rules as the paper
# does, with weights that are small beside the feedback.
INITIALIZERS = {"glorot_uniform": "glorot_uniform", "fan_in_uniform": FAN_IN_UNIFORM}

# The options of the decorrelators that keep a norm.
_OF_NORM = ("preserve", "gain_rate")


@dataclass(frozen=True)
class NetConfig:
    """Holds and checks the options that decide how a net is trained, whatever the command.

    With a `train_size` only the first so many images, or characters, are used. A subclass adds the
    fields of its command, `decorrelator` and `optimizer` among them.
    """

    dataset: Annotated[str, Option(help=one_of(NAMES)), OneOf(NAMES)] = "digits"
    data_dir: DataDir = None
    net: Annotated[str, Option(help=one_of(NETS)), OneOf(NETS)] = "dense"
    width: Annotated[
        int | None,
        Option(help="channels or features of resnet18, vit or gpt; default: its own"),
        Count(),
    ] = None
    context: Annotated[
        int | None, Option(help="characters that gpt sees; default: 128"), Count()
    ] = None
    rule: Annotated[
        tuple[str, ...],
        Option(help=f"learning rule: {one_of(RULES)}; give several to try each"),
        OneOf(RULES),
    ] = ("backprop",)
    batch_size: Annotated[
        int | None,
        Option(help="samples per batch; default: 64 for the digits and texts, 256 for the others"),
        Count(),
    ] = None
    optimizer: str | tuple[str, ...] = "adam"
    schedule: Annotated[
        str,
        Option(
            help="of the learning rate: constant, or cosine, which rises for 5 % of the steps and then "
            "falls to zero"
        ),
        OneOf(SCHEDULES),
    ] = "constant"
    decorrelator: str | tuple[str, ...] = "norm_preserving"
    structure: Annotated[
        tuple[str, ...],
        Option(help=f"structure of M: {one_of(STRUCTURES)}; give several to try each"),
        OneOf(STRUCTURES),
    ] = ("auto",)
    rows: Annotated[
        str,
        Option(help="what M of a convolution decorrelates: patches, or pixels (their channels)"),
        OneOf(ROWS),
    ] = "patches"
    preserve: Annotated[
        str,
        Option(help=f"the norm that M keeps: {one_of(NORMS)} (the paper's is raw)"),
        OneOf(NORMS),
    ] = NORMS[0]
    gain_rate: Annotated[
        float,
        Option(help="exponent of the gain that keeps it, in (0, 1] (the paper's is 1)"),
        Number(0.0, 1.0, open_low=True),
    ] = GAIN_RATE
    # As in version 0.1.0 and in the paper: the rates of M of the nets are for these.
    damping: Annotated[
        float,
        Option(help="damping of M; default: 0, as in the paper (the library's is 1)"),
        Number(0.0),
    ] = 0.0
    update_every: Annotated[
        int, Option(help="update M every so many steps (the library's default is 4)"), Count()
    ] = 1
    groups: Annotated[int, Option(help="the most groups of a structured M"), Count()] = 32
    rank: Annotated[
        int | None, Option(help="rank of a low-rank M; default: the decorrelator's"), Count()
    ] = None
    initializer: Annotated[
        str,
        Option(
            help="glorot_uniform or fan_in_uniform (the paper's); default: the first, or the second "
            "with rules other than backprop"
        ),
        OneOf(("", *INITIALIZERS)),
    ] = ""
    augment: Annotated[bool, Option(help="random crops and flips (CIFAR, Tiny ImageNet)")] = True
    train_size: Annotated[
        int | None,
        Option(help="use so many images or characters for training; default: all"),
        Count(),
    ] = None

    def __post_init__(self) -> None:
        check_option("--dataset", self.dataset, OneOf(NAMES))
        if self.batch_size is None:
            default = 64 if self.dataset == "digits" else self.task.batch_size
            # The dataclass is frozen, but for itself.
            object.__setattr__(self, "batch_size", default)
        check_fields(self)
        self._check_task()
        self._check_rules()
        self._check_decorrelators()
        if self.width is not None and not self.kind.has_width:
            raise ValueError(
                f"Option --width is for the nets {[n for n in NETS if NETS[n].has_width]}. "
                f"Received: --width {self.width} --net {self.net}"
            )

    def _check_task(self) -> None:
        if self.kind.task is not self.task:
            nets = [name for name in NETS if NETS[name].task is self.task]
            raise ValueError(
                f"Option --net must be one of {nets} for {self.task.noun}, or --dataset one of "
                f"{list(self.kind.task.datasets)} for this net. "
                f"Received: --net {self.net} --dataset {self.dataset}"
            )
        if self.context is not None and self.task is not TEXTS:
            raise ValueError(
                f"Option --context is for the data sets {list(TEXTS.datasets)}. "
                f"Received: --context {self.context} --dataset {self.dataset}"
            )

    def _check_rules(self) -> None:
        known = self.kind.learning_rates
        for rule in self.rule:
            if rule not in known:
                raise ValueError(
                    f"Option --rule must be one of {list(known)} for this net. "
                    f"Received: --rule {rule} --net {self.net}"
                )

    def _check_decorrelators(self) -> None:
        for name in self.decorrelators:
            allowed = OneOf(DECORRELATORS[name].structures)
            for structure in self.structure:
                check_option("--structure", structure, allowed, f" of --decorrelator {name}")
        if any(map(keeps_norm, self.decorrelators)):
            return
        for field in fields(type(self)):
            given = getattr(self, field.name)
            if field.name in _OF_NORM and given != field.default:
                raise ValueError(
                    f"Option {field.option} is for the decorrelators "
                    f"{[name for name in DECORRELATORS if keeps_norm(name)]}. "
                    f"Received: {field.option} {given} --decorrelator {' '.join(self.decorrelators)}"
                )

    @property
    def decorrelators(self) -> Any:
        """A tuple of the names of its decorrelators."""
        return (self.decorrelator,) if isinstance(self.decorrelator, str) else self.decorrelator

    @property
    def task(self) -> Any:
        """The `Task` of the data set."""
        return task_of(self.dataset)

    @property
    def kind(self) -> Any:
        """The `Kind` of the net."""
        return NETS[self.net]

    @property
    def kernel_initializer(self) -> Any:
        """The initializer of all kernels of all nets, or `None` for the net's own."""
        alone = all(rule == "backprop" for rule in self.rule)
        if not self.initializer and alone:
            return None
        return INITIALIZERS[self.initializer or "fan_in_uniform"]

    def default_rate(self, decorrelator: Any, structure: Any) -> Any:
        """Returns the decorrelation rate that the net is known to do well with on the data set."""
        if math.isfinite(DECORRELATORS[decorrelator].highest_rate):  # a running mean: its own rate
            return DECORRELATORS[decorrelator]().learning_rate
        return DIGITS_RATE if self.dataset == "digits" else self.kind.decorrelation_rate(structure)

    def make_decorrelator(self, decorrelator: Any, structure: Any, **arguments: Any) -> Any:
        """Makes the `Decorrelator` of that name with the options of this configuration.

        Further arguments may be `None`, which stands for the decorrelator's default.
        """
        arguments |= {
            "structure": self.make_structure(structure),
            "rows": self.rows,
            "update_every": self.update_every,
        }
        if keeps_norm(decorrelator):
            arguments |= {name: getattr(self, name) for name in _OF_NORM}
        if issubclass(DECORRELATORS[decorrelator], NormPreserving):
            arguments["damping"] = self.damping
        given = {name: value for name, value in arguments.items() if value is not None}
        return DECORRELATORS[decorrelator](**given)

    def make_structure(self, name: str) -> Any:
        """Makes the structure of that name, with `groups` and `rank` if they are arguments of it."""
        cls = STRUCTURES[name]
        given = {"groups": self.groups, "rank": self.rank}
        return cls(**{name: given[name] for name in cls().get_config()})

    def make_net(self, data: Any, decorrelator: Any, rule: str, **chosen: Any) -> Any:
        """Makes the net for a data set, not compiled, with a `Decorrelator` or `None`.

        Further arguments are those of the function of `keras_decorr.models`.
        """
        given = {"width": self.width, "kernel_initializer": self.kernel_initializer}
        return self.kind.build(
            **self.task.net_arguments(data),
            decorrelator=decorrelator,
            # Backpropagation without decorrelation is Keras's own, so that times are compared with its.
            for_any_rule=rule != "backprop",
            **{name: value for name, value in given.items() if value is not None},
            **chosen,
        )

    def to_dict(self) -> Any:
        """Returns the configuration as plain Python objects."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, saved: dict) -> Any:
        """Returns the configuration that `to_dict` gave, by way of a JSON file."""
        arguments: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in upgraded(saved).items()
        }
        return cls(**arguments)


def upgraded(saved: dict) -> dict:
    """Returns the options that a version saved with their names of today.

    Before `--optimizer` and `--schedule`, `compare` trained with Adam at a constant rate; texts came
    with them, and `--damping` and `--update-every`. Version 0.1.0 had no `--rows`: what is `--rows
    pixels` today was `--structure channel`. Beside other structures, whose rows are patches, that one
    is left out.
    """
    saved = {
        "optimizer": "adam",
        "schedule": "constant",
        "context": None,
        "damping": 0.0,
        "update_every": 1,
        **saved,
    }
    if "rows" in saved:
        return saved
    structures = [name for name in saved["structure"] if name != "channel"]
    rows = ROWS[0] if structures else ROWS[1]
    return {**saved, "structure": structures or ["auto"], "rows": rows}


def keeps_norm(decorrelator: Any) -> bool:
    """Returns whether the decorrelator of that name keeps a norm."""
    return issubclass(DECORRELATORS[decorrelator], Preserving)
