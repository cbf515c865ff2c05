"""How many patches an update of M needs: accuracy and time against `max_samples`.

    python benchmarks/max_samples.py --data-dir DIR

Trains the convolutional net on CIFAR-10 with the default structure of M for a few epochs with each
cap, same seed and data order, and prints the test accuracies and the median time of an epoch.
"""

import argparse
import tempfile

from rich.console import Console
from rich.table import Table

from keras_decorr import datasets
from keras_decorr.cli.compare.config import Config
from keras_decorr.cli.compare.report import column, epoch_seconds
from keras_decorr.cli.compare.run import Run, train
from keras_decorr.decorrelators.decorrelator import STRUCTURE

ALL = 10**9  # more rows than any batch has


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--caps", type=int, nargs="+", default=[128, 512, 2048, ALL])
    arguments = parser.parse_args()
    images = datasets.load("cifar10", arguments.data_dir)
    epochs = [f"epoch {i + 1}" for i in range(arguments.epochs)]
    table = Table("patches", *epochs, "s / epoch", title="conv net, test accuracy")
    for cap in arguments.caps:
        config = Config(dataset="cifar10", net="conv", batch_size=256, max_samples=cap)
        with tempfile.TemporaryDirectory() as folder:
            runs = [
                train(config, Run(STRUCTURE, 1e-3, seed, arguments.epochs), images, folder)
                for seed in range(arguments.seeds)
            ]
        accuracy = sum(column(rows, "test_accuracy") for rows in runs) / len(runs)
        seconds = sum(epoch_seconds(rows) for rows in runs) / len(runs)
        name = "all" if cap == ALL else str(cap)
        table.add_row(name, *(f"{value:.4f}" for value in accuracy), f"{seconds:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
