"""Clean and noisy samples of node perturbation: two passes, or one pass with twice the batch?

    KERAS_BACKEND=tensorflow python benchmarks/passes.py

Times the two ways to run the forward pass and the loss of the paper's nets (batch 256, interleaved) and
prints the median ratio of the doubled batch to two passes.
"""

import argparse
import time

import keras
import numpy as np
from keras import ops
from rich.console import Console
from rich.table import Table

from keras_decorr import models


def compiled(function):
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(function)
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    return function


def ratio(net, batch, rounds):
    model = getattr(models, f"{net}_net")((32, 32, 3), 10, classifier_activation=None)
    rng = np.random.default_rng(0)
    x = ops.convert_to_tensor(rng.normal(size=(batch, 32, 32, 3)).astype("float32"))

    def two(x, size):
        return ops.sum(model(x)) + ops.sum(model(x + size))

    def doubled(x, size):
        return ops.sum(model(ops.concatenate([x, x + size])))

    ways = [compiled(way) for way in (two, doubled)]
    size = ops.convert_to_tensor(1e-3)
    times = []
    for _ in range(rounds + 2):
        row = []
        for way in ways:
            start = time.perf_counter()
            for _ in range(5):
                float(way(x, size))
            row.append(time.perf_counter() - start)
        times.append(row)
    times = np.array(times[2:]) / 5
    return np.median(times, axis=0) * 1e3, np.median(times[:, 1] / times[:, 0])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    title = f"forward passes, {keras.backend.backend()}, batch {arguments.batch_size}"
    table = Table("net", "two passes, ms", "doubled batch, ms", "doubled / two", title=title)
    for net in ("dense", "conv"):
        (two, doubled), relative = ratio(net, arguments.batch_size, arguments.rounds)
        table.add_row(net, f"{two:.1f}", f"{doubled:.1f}", f"{relative:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
