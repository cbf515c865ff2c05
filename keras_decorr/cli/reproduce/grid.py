"""A grid of experiments as a TOML file declares it, checked before any work is done.

    title = "What is compared"          # optional
    dataset = ["cifar10", "cifar100"]   # the panels of the figure: every data set
    net = ["dense", "conv"]             # with every net
    rule = ["backprop"]                 # the curves of a panel: every rule, without decorrelation
    structure = ["monarch"]             # and with every structure of M
    epochs = 100

    [small]                             # what is different with `--scale small`
    epochs = 4

Further keys are the options of `keras-decorr compare`, with the same meaning and defaults, but that
several decorrelation rates are not tuned: each is a curve of its own.
"""

import collections
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from keras_decorr.cli.allowed import Count, OneOf, check_option
from keras_decorr.cli.compare.config import Config, Net
from keras_decorr.cli.compare.run import Run
from keras_decorr.cli.options import fields
from keras_decorr.cli.tasks import IMAGES

SCALES = ("paper", "small")

# Where the data are is the machine's to know, and there is nothing that a grid tunes.
_FIELDS = {f.name: f for f in fields(Config) if f.name not in ("data_dir", "tuning_epochs")}
_KEYS = (*_FIELDS, "title")
_PANELS = ("dataset", "net")
_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number"}


class Job(NamedTuple):
    """Describes a run of a grid: its panel, the curve that it adds to, and what to train."""

    config: Config
    curve: Net
    run: Run

    @property
    def folder(self) -> Any:
        """Its folder, within that of the grid."""
        return Path(panel_name(self.config)) / "runs" / self.run.name


@dataclass(frozen=True)
class Grid:
    """Describes a grid of runs.

    Attributes:
        name: Name of its file, without the ending.
        title: What it compares.
        scale: `"paper"` or `"small"`.
        panels: A `Config` for every data set with every net.
    """

    name: str
    title: str
    scale: str
    panels: tuple[Config, ...]

    @property
    def jobs(self) -> list:
        """Its runs. Every panel gets its first seed before any gets its second."""
        seeds = max(config.seeds for config in self.panels)
        return [
            Job(config, curve, Run.of(config, net, rates, seed, config.epochs))
            for seed in range(seeds)
            for config in self.panels
            for curve, net, rates in curves(config)
        ]


def curves(config: Any) -> Iterator[tuple[Net, Net, Any]]:
    """Yields the name, the `Net` and the `Rates` of every curve of a panel."""
    for net in config.nets:
        choices = config.rates(net)
        for rates in choices:
            name = net
            if len(choices) > 1:
                name = Net(net.rule, f"{net.variant} {rates.decorrelation:g}")
            yield name, net, rates


def panel_name(config: Any) -> str:
    """Returns the name of a panel's folder."""
    return f"{config.dataset}-{config.net}"


def names() -> list:
    """Returns the names of the package's grids."""
    folder = resources.files(__package__) / "grids"
    return sorted(path.name.removesuffix(".toml") for path in folder.iterdir())


def read_grid(
    grid: Any, scale: Any = "paper", data_dir: str | None = None, seeds: Any = None
) -> Any:
    """Reads a grid.

    Args:
        grid: Name of a grid of the package, or the path of a TOML file.
        scale: `"paper"`, or `"small"` for one with what its table `[small]` changes.
        data_dir: Folder of tensorflow-datasets.
        seeds: Number of seeds, instead of that of the file.

    Returns:
        The `Grid`.

    Raises:
        FileNotFoundError: If there is no such grid.
        ValueError: If the file is not TOML, or has an unknown key or value in it.
    """
    check_option("--scale", scale, OneOf(SCALES))
    if seeds is not None:
        check_option("--seeds", seeds, Count())
    name, text = _text(str(grid))
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"The grid {grid} is not a TOML file: {error}") from error
    small = content.pop("small", {})
    for where, table in (("", content), (" under [small]", small)):
        if not isinstance(table, dict) or (unknown := sorted(set(table) - set(_KEYS))):
            raise ValueError(
                f"The keys of the grid {grid}{where} must be among {sorted(_KEYS)}. "
                f"Received: {unknown if isinstance(table, dict) else table!r}"
            )
    if scale == "small":
        if not small:
            raise ValueError(f"The grid {grid} has no table [small]. Leave out --scale small.")
        content |= small
    if seeds is not None:
        content["seeds"] = seeds
    title = str(content.pop("title", name))
    made = Grid(name, title, scale, _panels(grid, content, data_dir))
    folders = collections.Counter(job.folder for job in made.jobs)
    if same := [str(folder) for folder, count in folders.items() if count > 1]:
        raise ValueError(
            f"The runs of the grid {grid} must differ in the first six digits of their rates. "
            f"Received several that would be {same[0]}"
        )
    return made


def _text(grid: Any) -> Any:
    if grid in names():
        return grid, (resources.files(__package__) / "grids" / f"{grid}.toml").read_text()
    path = Path(grid)
    if not path.is_file():
        raise FileNotFoundError(
            f"Option --grid must be one of {names()} or the path of a TOML file. Received: {grid!r}"
        )
    try:
        return path.stem, path.read_text()
    except UnicodeDecodeError as error:
        raise ValueError(f"The grid {grid} is not a TOML file: {error}") from error


def _panels(grid: Any, content: dict, data_dir: str | None) -> tuple:
    content = {key: _typed(grid, key, value) for key, value in content.items()}
    datasets, nets = (content.pop(key, (_FIELDS[key].default,)) for key in _PANELS)
    panels = []
    for dataset in datasets:
        for net in nets:
            try:
                config = Config(dataset=dataset, net=net, data_dir=data_dir, **content)
                check_option("dataset", dataset, OneOf(IMAGES.datasets), " of a grid")
                panels.append(config)
            except (TypeError, ValueError) as error:
                raise ValueError(f"In the grid {grid}, {dataset} with {net}: {error}") from error
    if len(content.get("learning_rate", ())) > 1:
        raise ValueError(
            f"Key `learning_rate` of the grid {grid} must be one number; without it every rule has "
            f"the rate that it is known to do well with. Received: {list(content['learning_rate'])}"
        )
    return tuple(panels)


def _typed(grid: Any, key: str, value: Any) -> Any:
    """Returns a value of the file as `Config` has it, a tuple for several, or raises ValueError."""
    field = _FIELDS[key]
    several = key in _PANELS or field.several
    values = tuple(value) if several and isinstance(value, list) else (value,)
    if not values or len(set(map(str, values))) < len(values):
        raise ValueError(
            f"Key `{key}` of the grid {grid} must have one or several different values. "
            f"Received: {value!r}"
        )
    wanted = (int, float) if field.element is float else field.element
    for one in values:
        if not isinstance(one, wanted) or (isinstance(one, bool) and wanted is not bool):
            raise ValueError(
                f"Key `{key}` of the grid {grid} must be of type {_TYPES[field.element]}. "
                f"Received: {one!r}"
            )
    return values if several else value
