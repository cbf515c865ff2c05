"""What `DecorrelationMonitor` and `DecorrelationGuard` cost, over training without them.

    KERAS_BACKEND=tensorflow python benchmarks/monitor_cost.py

Trains the dense net (3072-1000-1000-1000-1000-10, batch 256, Adam, default M) on random data.
Epochs of as many steps as CIFAR-10 has take turns in one process: without a callback, with the monitor
at its defaults, with the guard at its defaults. Prints the time spent in the methods of the callback as
a share of the epoch, and the ratio of whole epochs: this also holds what the callback does to the
rest, but where the machine is noisy it says little about a per cent or two.
"""

import argparse
import time

import keras
import numpy as np

from keras_decorr import models
from keras_decorr.callbacks import DecorrelationGuard, DecorrelationMonitor
from keras_decorr.decorrelators import NormPreserving

BATCH = 256


def timed(callback):
    """Let a callback add up the seconds that its methods take, in a list."""
    spent = []

    def wrap(method):
        def run(*args, **kwargs):
            start = time.perf_counter()
            result = method(*args, **kwargs)
            spent.append(time.perf_counter() - start)
            return result

        return run

    for name in dir(keras.callbacks.Callback):
        if name.startswith("on_") and getattr(type(callback), name) is not getattr(
            keras.callbacks.Callback, name
        ):
            setattr(callback, name, wrap(getattr(callback, name)))
    return spent


def epoch_times(steps, rounds):
    """Seconds of each epoch, and of the callback in it, by variant."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(16 * BATCH, 32, 32, 3)).astype("float32")
    y = rng.integers(0, 10, len(x)).astype("int32")
    # The same batches again and again, so that a whole data set need not fit into memory.
    index = np.arange(steps * BATCH) % len(x)
    model = models.dense_net((32, 32, 3), 10, decorrelator=NormPreserving())
    model.compile(keras.optimizers.Adam(1e-4), "sparse_categorical_crossentropy")
    monitor, guard = DecorrelationMonitor(x[:BATCH]), DecorrelationGuard(verbose=0)
    variants = {"none": [], "monitor": [monitor], "guard": [guard]}
    spent = {"none": [], "monitor": timed(monitor), "guard": timed(guard)}

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return steps

        def __getitem__(self, i):
            rows = index[i * BATCH : (i + 1) * BATCH]
            return x[rows], y[rows]

    batches, times = Batches(), {name: [] for name in variants}
    for callbacks in variants.values():  # compile
        model.fit(batches, epochs=1, steps_per_epoch=2, verbose=0, callbacks=callbacks)
    for _ in range(rounds):
        for name, callbacks in variants.items():
            spent[name].clear()
            start = time.perf_counter()
            model.fit(batches, epochs=1, verbose=0, callbacks=callbacks)
            times[name].append((time.perf_counter() - start, sum(spent[name])))
    return times


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=196)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    times = epoch_times(arguments.steps, arguments.rounds)
    print(
        f"backend {keras.backend.backend()}, dense net, batch {BATCH}, epochs of {arguments.steps} "
        f"steps, {arguments.rounds} rounds"
    )
    none = np.array(times["none"])[:, 0]
    for name, taken in times.items():
        whole, own = np.array(taken).T
        by_round = 100 * (whole / none - 1)
        print(
            f"{name:8} in its methods {100 * np.median(own / whole):5.2f} % of the epoch   "
            f"epoch {np.median(whole):6.2f} s, over none "
            f"{' '.join(f'{value:+.1f}' for value in by_round)} %"
        )


if __name__ == "__main__":
    main()
