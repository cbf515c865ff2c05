"""The summary of a comparison as a Markdown table.

python benchmarks/markdown.py benchmarks/results/cifar10-dense
"""

import json
import sys
from pathlib import Path


def spread(value, digits):
    return f"{value[0]:.{digits}f} ± {value[1]:.{digits}f}"


def rows(folder):
    content = json.loads((Path(folder) / "summary.json").read_text())
    variants, rates = content["variants"], content["learning_rates"]
    plain = variants["plain"]
    yield "net | rate | best test accuracy | s / epoch | epochs to plain's best | seconds to it"
    yield "|".join(["---"] * 6)
    for name, figures in variants.items():
        reached = [
            f"{spread(figures[key], 1)} ({figures[key][0] / plain[key][0]:.0%})"
            if figures[key]
            else f"{figures['seeds_that_reached_plain']} of {figures['seeds']} seeds reach it"
            for key in ("epochs_to_plain", "seconds_to_plain")
        ]
        best, seconds = figures["best_accuracy"], figures["seconds_per_epoch"]
        yield " | ".join([name, f"{rates[name]:g}", spread(best, 3), spread(seconds, 1), *reached])


if __name__ == "__main__":
    for row in rows(sys.argv[1]):
        print(f"| {row} |")
