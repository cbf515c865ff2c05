"""How long a memory the moving mean may have: test accuracy against `momentum`.

    python benchmarks/moving_mean.py --net conv --data-dir DIR

The momentum changes nothing in training, only the mean that inference centres with. So one training
with the default structure of M serves all of them: the means of the batches are averaged beside it, and
after every epoch the net is tested with each average.
"""

import argparse

import keras
import numpy as np
from rich.console import Console
from rich.table import Table

from keras_decorr.cli.compare.config import Config
from keras_decorr.cli.compare.run import Run, build, load_data
from keras_decorr.decorrelators.decorrelator import STRUCTURE
from keras_decorr.layers import Decorrelation


class Means(keras.callbacks.Callback):
    """Averages the means of the batches with several momenta. The layers' own must be 0."""

    def __init__(self, layers, momenta):
        super().__init__()
        self.layers = layers
        self.averages = {momentum: [0.0] * len(layers) for momentum in momenta}
        self.counts = dict.fromkeys(momenta, 0.0)

    def on_train_batch_end(self, batch, logs=None):
        means = [keras.ops.convert_to_numpy(layer.moving_mean) for layer in self.layers]
        for momentum, averages in self.averages.items():
            count = self.counts[momentum] = momentum * self.counts[momentum] + 1.0
            averages[:] = [
                old + (new - old) / count for old, new in zip(averages, means, strict=True)
            ]

    def put(self, momentum):
        """Let the layers use this average."""
        for layer, average in zip(self.layers, self.averages[momentum], strict=True):
            layer.moving_mean.assign(average)


def accuracies(config, run, images, momenta):
    """`(momenta, epochs)` test accuracies of a run."""
    model = build(config, run, images)
    layers = [x for x in model._flatten_layers() if isinstance(x, Decorrelation) and x.decorrelator]
    for layer in layers:
        layer.decorrelator.momentum = 0.0
    means, test = Means(layers, momenta), images.test(1024)
    found: list = [[] for _ in momenta]
    for epoch in range(run.epochs):
        data = images.train(config.batch_size, config.augment, seed=1000 * run.seed + epoch)
        model.fit(data, verbose=0, shuffle=False, callbacks=[means])
        for row, momentum in zip(found, momenta, strict=True):
            means.put(momentum)
            row.append(model.evaluate(test, verbose=0, return_dict=True)["accuracy"])
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="cifar10")
    parser.add_argument("--data-dir")
    parser.add_argument("--net", default="conv")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument(
        "--momenta", type=float, nargs="+", default=[0.99, 0.97, 0.95, 0.9, 0.8, 0.0]
    )
    arguments = parser.parse_args()
    config = Config(
        dataset=arguments.dataset,
        data_dir=arguments.data_dir,
        net=arguments.net,
        batch_size=arguments.batch_size,
    )
    images = load_data(config)
    runs = [
        Run(STRUCTURE, arguments.learning_rate, seed, arguments.epochs)
        for seed in range(arguments.seeds)
    ]
    means = np.mean([accuracies(config, run, images, arguments.momenta) for run in runs], axis=0)
    table = Table("epoch", *(f"{momentum:g}" for momentum in arguments.momenta))
    table.title = f"{config.dataset}, {config.net} net, test accuracy by momentum"
    for epoch, row in enumerate(means.T):
        table.add_row(str(epoch + 1), *(f"{value:.4f}" for value in row))
    Console().print(table)


if __name__ == "__main__":
    main()
