"""The summary and the figure of a comparison with seconds that were measured in the quiet.

    python benchmarks/retimed.py benchmarks/results/cifar10-conv benchmarks/results/cifar10-conv-seconds

Runs of hours have company on a machine, or go on on another one. The second folder holds a comparison
of the same nets of few epochs, all in turn on one machine that did nothing else. Its median epoch of a
net becomes that of every run of the net in the first folder, whose `summary.json` and `curves.png` are
written anew.
"""

import argparse
import json
from pathlib import Path

from keras_decorr.cli.compare import report
from keras_decorr.cli.compare.config import Net
from keras_decorr.cli.compare.figure import draw
from keras_decorr.cli.compare.run import TABLE, Run, read
from keras_decorr.files.whole import write_json


def retimed(folder, content, seconds):
    """The rows of every run of a comparison, `{net: {seed: rows}}`, with other seconds."""
    results = {}
    for name, figures in content["variants"].items():
        net, learning = Net(figures["rule"], figures["variant"]), content["learning_rates"][name]
        epoch = seconds[name]["seconds_per_epoch"][0]
        results[net] = {}
        for seed in range(figures["seeds"]):
            run = Run(net.variant, learning, seed, 0, net.rule)
            rows = read(folder / "runs" / run.name / TABLE)
            results[net][seed] = [{**row, "seconds": epoch} for row in rows]
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="of the comparison", type=Path)
    parser.add_argument("seconds", help="folder of the one whose seconds count", type=Path)
    arguments = parser.parse_args()
    content, timing = (
        json.loads((path / "summary.json").read_text())
        for path in (arguments.folder, arguments.seconds)
    )
    results = retimed(arguments.folder, content, timing["variants"])
    summary = report.summarise(results)
    content |= {"variants": report.by_name(summary), "seconds": arguments.seconds.name}
    write_json(arguments.folder / "summary.json", content)
    config = json.loads((arguments.folder / "config.json").read_text())["config"]
    title = f"{config['dataset']}, {config['net']} net"
    draw(summary, results, arguments.folder / "curves.png", title)


if __name__ == "__main__":
    main()
