"""Plain against `decorrelate(model)` without an argument, as networks are trained today.

    KERAS_BACKEND=tensorflow python benchmarks/schedules.py --net gpt --data-dir DIR

Every net is trained with AdamW or Muon and a cosine schedule (5 % of the steps warm up), images with
random crops and flips. Each side's learning rate is chosen from the same candidates by the validation
loss of one seed, which is not used again. The other seeds are trained with it, and the test figures are
those at the end of training.

A finished run is a line of `runs.jsonl`; the same command continues with those that are missing.
`--table` prints the result: figures with their standard error, and the steps and seconds after which
the decorrelated net is as good on the validation data as the plain one at its end. `--figure FILE`
draws the learning curves.

One process uses the cores that the system gives it: `taskset -c 0` for one. Seconds are those of the
training steps alone, without validation and compilation.
"""

import argparse
import functools
import itertools
import json
import time
from pathlib import Path

import keras
import numpy as np
from keras import layers, ops

import keras_decorr
from keras_decorr import datasets, models
from keras_decorr.decorrelators import NormPreserving
from keras_decorr.layers.walk import walk
from keras_decorr.plots.style import finish, panels

TUNING_SEED = 100
WARM_UP = 0.05


# --- data: (training, validation, test) arrays, and batches of a seed ---------------------------------


def crop_and_flip(x, rng, margin=4):
    """Random crops of padded images, half of them mirrored."""
    size = x.shape[1]
    padded = np.pad(x, ((0, 0), (margin, margin), (margin, margin), (0, 0)))
    places = rng.integers(0, 2 * margin + 1, (len(x), 2))
    flips = rng.random(len(x)) < 0.5
    images = (
        image[i : i + size, j : j + size][:, :: -1 if flip else 1]
        for image, (i, j), flip in zip(padded, places, flips, strict=True)
    )
    return np.stack(list(images))


class ImageData:
    def __init__(self, name, data_dir, validation=2000, keep=None, crops=True):
        self.crops = crops
        images = datasets.load(name, data_dir)
        x, y = images.x_train.astype("float32"), images.y_train
        mean, deviation = x.mean((0, 1, 2)), x.std((0, 1, 2))
        x = (x - mean) / deviation
        if keep is not None:  # unbalanced: class c keeps keep**c of its images
            share = np.random.default_rng(0).random(len(x)) < keep**y
            x, y = x[share], y[share]
        self.classes, self.shape = images.classes, x.shape[1:]
        self.train = x[:-validation], y[:-validation]
        self.validation = x[-validation:], y[-validation:]
        self.test = (images.x_test.astype("float32") - mean) / deviation, images.y_test

    def batches(self, seed, size):
        rng = np.random.default_rng(seed)
        x, y = self.train
        while True:
            order = rng.permutation(len(x))
            for i in range(0, len(x) - size + 1, size):
                chosen = order[i : i + size]
                yield crop_and_flip(x[chosen], rng) if self.crops else x[chosen], y[chosen]


class TextData:
    def __init__(self, name, data_dir, context=64, windows=256):
        text = datasets.load(name, data_dir)
        self.context, self.classes = context, text.classes
        self.tokens = text.train_tokens
        self.validation = self._windows(text.validation_tokens, windows)
        self.test = self._windows(text.test_tokens, windows)

    def _windows(self, tokens, most):
        starts = np.linspace(0, len(tokens) - self.context - 1, most).astype(int)
        return self._at(tokens, starts)

    def _at(self, tokens, starts):
        window = tokens[starts[:, None] + np.arange(self.context + 1)]
        return window[:, :-1], window[:, 1:]

    def batches(self, seed, size):
        rng = np.random.default_rng(seed)
        while True:
            yield self._at(self.tokens, rng.integers(0, len(self.tokens) - self.context - 1, size))


# --- nets ---------------------------------------------------------------------------------------------


def mixer(shape, classes, patch=4, width=64, depth=4):
    """A small MLP-Mixer (I. Tolstikhin et al., arXiv 2105.01601)."""
    inputs = keras.Input(shape)
    x = layers.Conv2D(width, patch, strides=patch)(inputs)
    x = layers.Reshape((-1, width))(x)
    tokens = x.shape[1]
    for _ in range(depth):
        y = layers.Permute((2, 1))(layers.LayerNormalization(epsilon=1e-6)(x))
        y = layers.Dense(tokens)(layers.Dense(2 * tokens, activation="gelu")(y))
        x = layers.Add()([x, layers.Permute((2, 1))(y)])
        y = layers.LayerNormalization(epsilon=1e-6)(x)
        y = layers.Dense(width)(layers.Dense(2 * width, activation="gelu")(y))
        x = layers.Add()([x, y])
    x = layers.GlobalAveragePooling1D()(layers.LayerNormalization(epsilon=1e-6)(x))
    return keras.Model(inputs, layers.Dense(classes)(x))


def of_images(build, **arguments):
    def net(data):
        given = {"decorrelator": None, "classifier_activation": None, **arguments}
        return build(data.shape, data.classes, **given)

    return net


def cifar10(data_dir):
    return ImageData("cifar10", data_dir)


# name: (data, net, batch size, steps, learning rates of AdamW, those of Muon)
RATES, MUON_RATES = (3e-4, 1e-3, 3e-3), (1e-3, 3e-3, 1e-2)
NETS = {
    "gpt": (
        lambda d: TextData("tiny_shakespeare", d),
        lambda data: models.gpt(data.context, data.classes, decorrelator=None),
        32, 1000, (2e-3, 4e-3, 8e-3), (2e-3, 4e-3, 8e-3),
    ),
    "gpt-python": (
        lambda d: TextData("python_source", d),
        lambda data: models.gpt(data.context, data.classes, decorrelator=None),
        32, 1000, (2e-3, 4e-3, 8e-3), (2e-3, 4e-3, 8e-3),
    ),
    "dense": (cifar10, of_images(models.dense_net), 256, 840, RATES, MUON_RATES),
    "dense-bn": (
        cifar10, of_images(models.dense_net, batch_normalization=True), 256, 840, RATES, MUON_RATES
    ),
    "dense-unbalanced": (
        lambda d: ImageData("cifar10", d, keep=0.7),
        of_images(models.dense_net, hidden=(500, 500)), 256, 400, RATES, MUON_RATES,
    ),
    "dense-no-crops": (
        lambda d: ImageData("cifar10", d, crops=False),
        of_images(models.dense_net), 256, 400, RATES, MUON_RATES,
    ),
    "conv": (cifar10, of_images(models.conv_net), 128, 560, RATES, MUON_RATES),
    "conv-bn": (
        cifar10, of_images(models.conv_net, batch_normalization=True), 128, 560, RATES, MUON_RATES
    ),
    "resnet18": (
        cifar10, of_images(models.resnet18, width=16), 128, 560, RATES, MUON_RATES
    ),
    "vit": (
        cifar10, of_images(models.vit, width=64, depth=4, heads=4), 128, 840, RATES, MUON_RATES
    ),
    "mixer": (cifar10, lambda data: mixer(data.shape, data.classes), 128, 840, RATES, MUON_RATES),
}  # fmt: skip


# --- training -----------------------------------------------------------------------------------------


def optimizer(name, rate, steps):
    warm_up = int(WARM_UP * steps)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, steps - warm_up, warmup_target=rate, warmup_steps=warm_up
    )
    return {"adamw": keras.optimizers.AdamW, "muon": keras.optimizers.Muon}[name](schedule)


def variant(model, options, data):
    """Decorrelates a plain model: `"decorrelated"`, or `decorrelated:argument=value,...`.

    The arguments are those of the decorrelator, `head` of `decorrelate`, `adapt`, a damping, and
    `keep_function` (see `FunctionKept`). Returns the model, and what to call after every step.
    """
    name, _, given = options.partition(":")
    if name == "plain":
        return model, lambda: None
    arguments = {
        k: json.loads(v) for k, v in (pair.split("=") for pair in given.split(",") if pair)
    }
    of_call = {k: arguments.pop(k) for k in ("head",) if k in arguments}
    damping = arguments.pop("adapt", None)
    keeps = arguments.pop("keep_function", False)
    rule = {"decorrelator": NormPreserving(**arguments)} if arguments else {}
    model = keras_decorr.decorrelate(model, **rule, **of_call)
    if damping is not None:
        keras_decorr.adapt(model, next(data.batches(0, 1024))[0], damping)
    return model, FunctionKept(model) if keeps else lambda: None


class FunctionKept:
    """Lets each kernel move against M, so that the net is the same function before and after.

    `K <- M_new^-T M_old^T K` after a step, which leaves `M^T K` as the optimizer left it.
    """

    def __init__(self, model):
        layers = [place.layer for place in walk(model)]
        self.layers = [layer for layer in layers if hasattr(layer, "of_matrix")]
        self.transposed = [self.of(layer) for layer in self.layers]

    @staticmethod
    def of(layer):
        decorrelation = layer.decorrelation
        identity = np.eye(decorrelation.operator.n, dtype="float32")
        return np.array(
            decorrelation.operator.fold(
                [ops.convert_to_tensor(M) for M in decorrelation.matrices], identity
            )
        )

    def __call__(self):
        for i, layer in enumerate(self.layers):
            old, new = self.transposed[i], self.of(layer)
            if not np.array_equal(old, new):
                K = np.array(layer.matrix(ops.convert_to_tensor(layer.kernel)))
                layer.kernel.assign(layer.of_matrix(np.linalg.solve(new, old @ K)))
                self.transposed[i] = new


def train(data, build, batch, steps, options, optimizer_name, rate, seed, evaluations=20):
    keras.utils.set_random_seed(seed)
    model, after_step = variant(build(data), options, data)
    model.compile(
        optimizer(optimizer_name, rate, steps),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False if keras.backend.backend() == "tensorflow" else "auto",
    )
    batches, curve, seconds = data.batches(seed, batch), [], 0.0
    every = max(steps // evaluations, 1)
    for step in range(1, steps + 1):
        x, y = next(batches)
        start = time.perf_counter()
        model.train_on_batch(x, y)
        after_step()
        if step > 2:  # without compilation
            seconds += time.perf_counter() - start
        if step % every == 0 or step == steps:
            loss, accuracy = model.evaluate(*data.validation, batch_size=256, verbose=0)
            curve.append([step, round(seconds, 2), float(loss), float(accuracy)])
            model.reset_metrics()
    test = [float(v) for v in model.evaluate(*data.test, batch_size=256, verbose=0)]
    return {"validation": curve, "test_loss": test[0], "test_accuracy": test[1]}


class Runs:
    """The finished runs in a file of JSON lines."""

    def __init__(self, path):
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        self.done = {self._key(run): run for run in map(json.loads, lines)}

    @staticmethod
    def _key(run):
        return tuple(run[k] for k in ("net", "variant", "optimizer", "rate", "seed", "steps"))

    def get(self, work, **key):
        key = {k: key[k] for k in ("net", "variant", "optimizer", "rate", "seed", "steps")}
        if self._key(key) not in self.done:
            run = {**key, "backend": keras.backend.backend(), **work()}
            with self.path.open("a") as file:
                file.write(json.dumps(run) + "\n")
            self.done[self._key(key)] = run
            last = run["validation"][-1]
            print(*key.values(), "validation", [round(v, 4) for v in last], flush=True)
        return self.done[self._key(key)]


def end(run):
    return run["validation"][-1][2]


def table(runs):
    by = {}
    for run in runs.done.values():
        if run["seed"] != TUNING_SEED:
            by.setdefault((run["net"], run["optimizer"]), {}).setdefault(run["variant"], []).append(
                run
            )
    print(
        "| net | optimizer | variant | rate | seeds | validation loss | test loss | test accuracy "
        "| steps to plain's end | seconds to it | seconds / plain |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for (net, name), variants in by.items():
        for label, found in variants.items():
            cells = [
                spread([end(r) for r in found]),
                spread([r["test_loss"] for r in found]),
                spread([r["test_accuracy"] for r in found]),
            ]
            plain = {r["seed"]: r for r in variants.get("plain", ())}
            pairs = [(plain[r["seed"]], r) for r in found if r["seed"] in plain]
            reached = [first_as_good(r, end(p)) for p, r in pairs]
            n = len(reached)
            for i in (0, 1):
                total = [p["validation"][-1][i] for p, _ in pairs]
                got = [100 * x[i] / t for x, t in zip(reached, total, strict=True) if x]
                cells.append(f"{np.mean(got):.0f} % ({len(got)} of {n})" if got else f"0 of {n}")
            ratio = [r["validation"][-1][1] / p["validation"][-1][1] for p, r in pairs]
            cells.append(f"{np.median(ratio):.2f}" if ratio else "")
            print(
                "|",
                " | ".join([net, name, label, f"{found[0]['rate']:g}", str(len(found)), *cells]),
                "|",
            )


def figure(runs, path):
    """Draws the validation loss against the steps: a panel for each net, means over the seeds."""
    nets = list(dict.fromkeys(run["net"] for run in runs.done.values()))
    drawn, axes = panels(len(nets), min(len(nets), 3), (4, 3.2))
    styles = {"plain": {"color": "black", "linestyle": "--"}, "decorrelated": {"color": "C0"}}
    for net, panel in zip(nets, np.ravel(axes), strict=False):
        for name, width in (("adamw", 2.0), ("muon", 1.0)):
            for label, style in styles.items():
                found = [
                    run["validation"]
                    for run in runs.done.values()
                    if (run["net"], run["optimizer"], run["variant"]) == (net, name, label)
                    and run["seed"] != TUNING_SEED
                ]
                if found:
                    steps, _, losses, _ = np.mean(found, axis=0).T
                    mark = {"marker": "o", "markersize": 3} if name == "muon" else {}
                    legend = {"label": f"{label}, {name}"}
                    panel.plot(steps, losses, linewidth=width, **style, **mark, **legend)
        panel.set(title=net, xlabel="step", ylabel="validation loss")
        panel.grid(alpha=0.3)
        panel.legend(frameon=False, fontsize="small")
    finish(drawn, path, "")


def first_as_good(run, loss):
    """`(steps, seconds)` after which the validation loss is at most `loss`, or `None`."""
    return next((point[:2] for point in run["validation"] if point[2] <= loss), None)


def spread(values):
    error = np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0
    return f"{np.mean(values):.4f} ± {error:.4f}"


def tuned(runs, net, name, label, chosen):
    """Chooses the learning rate of a variant of a net, and trains it with every seed."""
    load, build, batch, usual, *candidates = NETS[net]
    steps = chosen.steps or usual
    load = functools.cache(load)

    def run(rate, seed):
        def work():
            return train(load(chosen.data_dir), build, batch, steps, label, name, rate, seed)

        key = {"net": net, "variant": label, "optimizer": name, "rate": rate}
        return runs.get(work, **key, seed=seed, steps=steps)

    rates = chosen.rate or candidates[name == "muon"]
    best = rates[0]
    if len(rates) > 1 or chosen.tune_only:
        best = min(rates, key=lambda rate: end(run(rate, TUNING_SEED)))
    for seed in range(1, 1 + (0 if chosen.tune_only else chosen.seeds)):
        run(best, seed)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--net", nargs="+", choices=NETS, default=[])
    parser.add_argument("--data-dir")
    parser.add_argument("--optimizer", nargs="+", default=["adamw"])
    parser.add_argument("--variant", nargs="+", default=["plain", "decorrelated"])
    parser.add_argument(
        "--rate", nargs="+", type=float, help="candidates, instead of the net's own"
    )
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tune-only", action="store_true")
    parser.add_argument("--out", default="benchmarks/results/schedules/runs.jsonl")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--figure", help="a PNG file for the learning curves of all finished runs")
    chosen = parser.parse_args()
    runs = Runs(chosen.out)
    for net, name, label in itertools.product(chosen.net, chosen.optimizer, chosen.variant):
        tuned(runs, net, name, label, chosen)
    if chosen.table:
        table(runs)
    if chosen.figure:
        figure(runs, chosen.figure)


if __name__ == "__main__":
    main()
