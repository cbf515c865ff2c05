"""The summary of a comparison as a Markdown table.

python benchmarks/markdown.py benchmarks/results/cifar10-dense
"""

import json
import sys
from pathlib import Path


def spread(value, digits):
    mean, deviation = (f"{v:.{digits}f}" for v in value)
    return mean if value[1] == 0 else f"{mean} ± {deviation}"


def table(folder):
    """The header and the rows, each a list of cells."""
    content = json.loads((Path(folder) / "summary.json").read_text())
    variants = content["variants"]
    reference = content.get("reference", "plain")  # of folders from before there were rules
    of_M = content.get("decorrelation_rates", {})
    rules = {figures.get("rule", "backprop") for figures in variants.values()}
    whose = "plain's best"
    if len(rules) > 1:
        whose = f"the best of {variants[reference]['rule'].replace('_', ' ')}, plain"
    yield [
        "rule", "net", "Adam's rate", "rate of M", "best test accuracy", "gain (points)",
        "s / epoch", f"epochs to {whose}", "seconds to it",
    ]  # fmt: skip
    for name, figures in variants.items():
        reached = [
            f"{spread(figures[key], 1)} ({figures[key][0] / variants[reference][key][0]:.0%})"
            if figures[key]
            else f"{figures['seeds_that_reached_plain']} of {figures['seeds']} seeds reach it"
            for key in ("epochs_to_plain", "seconds_to_plain")
        ]
        variant = figures.get("variant", name)
        gain = None if variant == "plain" else figures.get("gain_over_plain")
        yield [
            figures["rule"].replace("_", " ") if len(rules) > 1 else "",
            variant,
            f"{content['learning_rates'][name]:g}",
            f"{of_M[name]:g}" if name in of_M else "",
            spread(figures["best_accuracy"], 3),
            spread(gain, 1) if gain else "",
            spread(figures["seconds_per_epoch"], 1),
            *reached,
        ]


def rows(folder):
    """The lines of the table, without the columns that have nothing in them."""
    header, *cells = table(folder)
    kept = [i for i in range(len(header)) if any(row[i] for row in cells)]
    yield " | ".join(header[i] for i in kept)
    yield "|".join(["---"] * len(kept))
    for row in cells:
        yield " | ".join(row[i] for i in kept)


if __name__ == "__main__":
    for row in rows(sys.argv[1]):
        print(f"| {row} |")
