"""Which part of decorrelation does what, and is it more than regularisation?

    KERAS_BACKEND=tensorflow python benchmarks/ablations.py --data-dir DIR

Trains the dense net (3072-1000-1000-1000-1000-10, batch 256, Adam at 3e-4) on CIFAR-10 with the paper's
rule (Monarch M) and one thing changed at a time: the norm that it keeps, no centring, fewer or more
sampled rows, rarer updates, the inputs of the first layer alone decorrelated; and without decorrelation
but with weight decay, dropout or BatchNormalization.

A finished run is a line of `runs.csv`; the same command goes on with those that are missing. Then
prints, and writes to `table.md`, for every variant the best test accuracy and that at equal
training loss: at the loss with which the plain net of the same seed ends, by linear interpolation
between epochs.
"""

import argparse
import csv
import json
import time
from pathlib import Path

import keras
import numpy as np

import keras_decorr
from keras_decorr import datasets, models
from keras_decorr.decorrelators import NormPreserving

RATE = 5e-5  # of M
BATCH, LEARNING_RATE = 256, 3e-4


def net(decorrelator=None, **arguments):
    return models.dense_net(
        (32, 32, 3), 10, decorrelator=decorrelator, classifier_activation=None, **arguments
    )


def first_layer_alone():
    plain = net()
    first = next(layer for layer in plain.layers if isinstance(layer, keras.layers.Dense))
    return keras_decorr.decorrelate(plain, rule(), layers=[first.name])


def with_dropout(rate):
    layers = [keras.Input((32, 32, 3))]
    for layer in net().layers:
        layers.append(layer)
        if isinstance(layer, keras.layers.LeakyReLU):
            layers.append(keras.layers.Dropout(rate))
    return keras.Sequential(layers)


def rule(rate=RATE, preserve="raw", gain_rate=1.0, **arguments):
    arguments = {"update_every": 1, "damping": 0.0, **arguments}
    return NormPreserving(rate, preserve, gain_rate, **arguments)


def decorrelated(**arguments):
    return lambda: net(rule(**arguments))


def decorrelated_with_dropout():
    return keras_decorr.decorrelate(with_dropout(0.2), rule())


# What it is called: (a function that makes the net, decoupled weight decay)
VARIANTS = {
    "plain": (net, 0.0),
    "decorrelated": (decorrelated(), 0.0),
    "without gain": (decorrelated(preserve="nothing"), 0.0),
    "centred norm": (decorrelated(preserve="centred"), 0.0),
    "centred norm, 4 times the rate": (decorrelated(rate=4 * RATE, preserve="centred"), 0.0),
    "slow gain": (decorrelated(gain_rate=0.1), 0.0),
    "the default: centred norm, 4 times the rate, slow gain": (
        decorrelated(rate=4 * RATE, preserve="centred", gain_rate=0.1),
        0.0,
    ),
    "without centring": (decorrelated(center=False), 0.0),
    "0.02 of the batch": (decorrelated(sample_fraction=0.02), 0.0),
    "half of the batch": (decorrelated(sample_fraction=0.5), 0.0),
    "every 4th step, same rate": (decorrelated(update_every=4), 0.0),
    "every 4th step, 4 times the rate": (decorrelated(rate=4 * RATE, update_every=4), 0.0),
    "first layer alone": (first_layer_alone, 0.0),
    "weight decay 1": (net, 1.0),
    "dropout 0.2": (lambda: with_dropout(0.2), 0.0),
    "BatchNormalization": (lambda: net(batch_normalization=True), 0.0),
    "decorrelated, dropout 0.2": (decorrelated_with_dropout, 0.0),
}


def train(images, variant, seed, epochs):
    """One dictionary an epoch."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    make, decay = VARIANTS[variant]
    model = make()
    model.compile(
        keras.optimizers.AdamW(LEARNING_RATE, weight_decay=decay)
        if decay
        else keras.optimizers.Adam(LEARNING_RATE),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    test = images.test(1024)
    for epoch in range(epochs):
        data = images.train(BATCH, seed=1000 * seed + epoch)
        start = time.perf_counter()
        logs = model.fit(data, epochs=1, verbose=0).history
        seconds = time.perf_counter() - start
        tested = model.evaluate(test, verbose=0, return_dict=True)
        yield {
            "variant": variant, "seed": seed, "epoch": epoch + 1, "seconds": round(seconds, 2),
            "loss": logs["loss"][0], "accuracy": logs["accuracy"][0],
            "test_loss": tested["loss"], "test_accuracy": tested["accuracy"],
        }  # fmt: skip


def read(path):
    """`{(variant, seed): rows}`"""
    runs = {}
    if path.exists():
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                rows = runs.setdefault((row["variant"], int(row["seed"])), [])
                rows.append({k: float(v) for k, v in row.items() if k not in ("variant", "seed")})
    return runs


def append(path, rows):
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerows(rows)


def at_loss(rows, loss):
    """Test accuracy when the training loss has fallen to `loss`; NaN if it never has."""
    losses = np.minimum.accumulate([row["loss"] for row in rows])
    if losses[-1] > loss:
        return np.nan
    return float(np.interp(-loss, -losses, [row["test_accuracy"] for row in rows]))


def table(runs):
    yield [
        "variant", "seeds", "best test accuracy", "over plain", "at equal training loss", "over plain",
        "training loss at the end",
    ]  # fmt: skip
    for variant in VARIANTS:
        seeds = [seed for name, seed in runs if name == variant and ("plain", seed) in runs]
        if not seeds:
            continue
        found = []
        for seed in seeds:
            rows, plain = runs[variant, seed], runs["plain", seed]
            best, of_plain = (max(r["test_accuracy"] for r in of) for of in (rows, plain))
            equal = at_loss(rows, plain[-1]["loss"])
            last = plain[-1]["test_accuracy"]
            found.append((best, best - of_plain, equal, equal - last, rows[-1]["loss"]))
        yield [variant, str(len(seeds)), *map(spread, np.array(found).T, (1, 100, 1, 100, 1))]


def spread(values, scale):
    values, digits = scale * values[np.isfinite(values)], 3 if scale == 1 else 1
    if not len(values):
        return "not reached"
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{values.mean():.{digits}f} ± {values.std(ddof=1):.{digits}f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/ablations"))
    arguments = parser.parse_args()
    images = datasets.load("cifar10", arguments.data_dir)
    arguments.out.mkdir(parents=True, exist_ok=True)
    config, settings = arguments.out / "config.json", {"epochs": arguments.epochs}
    if config.exists() and json.loads(config.read_text()) != settings:
        parser.error(f"--out holds runs with other settings: {config.read_text()}")
    config.write_text(json.dumps(settings))
    path = arguments.out / "runs.csv"
    for seed in range(arguments.seeds):
        for variant in arguments.variants:
            if (variant, seed) not in read(path):
                rows = list(train(images, variant, seed, arguments.epochs))
                append(path, rows)
                best = max(row["test_accuracy"] for row in rows)
                seconds = np.median([row["seconds"] for row in rows])
                print(f"{variant}, seed {seed}: {best:.4f}, {seconds:.1f} s an epoch", flush=True)
    lines = ["| " + " | ".join(row) + " |" for row in table(read(path))]
    lines.insert(1, "|" + "---|" * lines[0].count(" | ") + "---|")
    (arguments.out / "table.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
