"""The figure of a comparison, whose curves differ in black and white, too."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from keras_decorr import plots
from keras_decorr.cli.compare.report import column
from keras_decorr.cli.tasks import IMAGES, Task
from keras_decorr.plots.style import COLORS, MARKERS

FILLS = ("full", "none", "left", "right", "top", "bottom")
_DASHES = {"plain": "--", "batch_normalization": ":"}


def draw(summary: dict, results: Any, path: Path, title: str, task: Task = IMAGES) -> Any:
    """Draws the learning curves of all nets to a PNG.

    Args:
        summary: Of `report.summarise`.
        results: Its argument.
        path: File to write.
        title: Title of the figure.
        task: What the nets learn. Defaults to the classification of images.
    """
    rules = list(dict.fromkeys(net.rule for net in results))
    names = {net: label(net, rules) for net in results}
    curves = {
        names[net]: (
            summary[net]["seconds_per_epoch"][0],
            [column(rows, task.score) for rows in seeds.values()],
        )
        for net, seeds in results.items()
    }
    if len(rules) == 1 and rules != ["backprop"]:
        title = f"{title}, {words(rules[0])}"
    look = {names[net]: style for net, style in styles(results).items()}
    return plots.learning_curves(curves, path, title, look, task.words)


def label(net: Any, rules: Sequence[str]) -> str:
    """Returns the name of a net in the legend of a figure with these rules."""
    variant = words(net.variant)
    return variant if len(rules) == 1 else f"{words(net.rule)}, {variant}"


def words(name: str) -> str:
    """Returns a name with spaces for underscores."""
    return name.replace("_", " ")


def styles(nets: Iterable) -> Any:
    """Returns how to draw each net: solid if it decorrelates, else dashed.

    With one rule, each variant has a colour and a marker; when all colours are used, they repeat with
    another filling of the marker. With several rules, each rule has a colour and a marker, and each
    variant a filling of the marker.
    """
    rules = list(dict.fromkeys(net.rule for net in nets))
    variants = list(dict.fromkeys(net.variant for net in nets))
    structures = [v for v in variants if v not in _DASHES]
    looks: dict = {}
    for net in nets:
        group = variants.index(net.variant) if len(rules) == 1 else rules.index(net.rule)
        looks[net] = {
            "color": COLORS[group % len(COLORS)],
            "marker": MARKERS[group % len(MARKERS)],
            "linestyle": _DASHES.get(net.variant, "-"),
            "fillstyle": FILLS[group // len(COLORS) % len(FILLS)],
        }
        if len(rules) > 1:
            decorrelates = net.variant in structures
            fill = FILLS[structures.index(net.variant) % len(FILLS)] if decorrelates else "none"
            looks[net] |= {"fillstyle": fill, "markersize": 5}
    return looks
