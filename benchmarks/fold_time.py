"""What a folded model costs in inference, over the plain model it was made from.

    KERAS_BACKEND=tensorflow python benchmarks/fold_time.py

Decorrelates plain Keras nets, moves M and the means off their start, folds, and times
`predict_on_batch` of the plain, the decorrelated and the folded net in turn, in one process. Prints the
median over the rounds of time over plain time.
"""

import argparse
import time

import keras
import numpy as np
from rich.console import Console
from rich.table import Table

import keras_decorr
from keras_decorr import models

NETS = {
    "dense": lambda: models.dense_net((32, 32, 3), 10, decorrelator=None),
    "conv": lambda: models.conv_net((32, 32, 3), 10, decorrelator=None),
    "resnet50": lambda: keras.applications.ResNet50(
        weights=None, input_shape=(64, 64, 3), classes=10
    ),
    "mobilenet_v2": lambda: keras.applications.MobileNetV2(
        weights=None, input_shape=(96, 96, 3), classes=10
    ),
}


def trained(plain, shape):
    """The plain net, decorrelated, with an M that a few steps have moved."""
    model = keras_decorr.decorrelate(plain)
    model.compile(keras.optimizers.SGD(0.0), "sparse_categorical_crossentropy")
    rng = np.random.default_rng(0)
    model.fit(rng.normal(size=(16, *shape)), rng.integers(0, 10, 16), batch_size=8, verbose=0)
    return model


def interleaved(built, x, rounds):
    """Median milliseconds of a prediction of each model, and of its ratio to the first one's."""
    times = {name: [] for name in built}
    for model in built.values():
        for _ in range(3):
            model.predict_on_batch(x)
    for _ in range(rounds):
        for name, model in built.items():
            start = time.perf_counter()
            for _ in range(3):
                model.predict_on_batch(x)
            times[name].append((time.perf_counter() - start) / 3)
    first = np.array(next(iter(times.values())))
    return {
        name: (np.median(taken) * 1e3, np.median(np.array(taken) / first))
        for name, taken in times.items()
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nets", nargs="*", default=list(NETS), choices=list(NETS))
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=21)
    arguments = parser.parse_args()
    title = (
        f"inference, batch {arguments.batch_size}, {keras.backend.backend()}, over the plain net"
    )
    table = Table("net", "ms", "decorrelated", "folded", title=title)
    for name in arguments.nets:
        plain = NETS[name]()
        shape = plain.input_shape[1:]
        decorrelated = trained(plain, shape)
        x = np.random.default_rng(1).normal(size=(arguments.batch_size, *shape)).astype("float32")
        built = {
            "plain": plain,
            "decorrelated": decorrelated,
            "folded": keras_decorr.fold(decorrelated),
        }
        result = interleaved(built, x, arguments.rounds)
        table.add_row(
            name,
            f"{result['plain'][0]:.1f}",
            *(f"{result[kind][1]:.2f}" for kind in ("decorrelated", "folded")),
        )
    Console().print(table)


if __name__ == "__main__":
    main()
