"""Every architecture of keras.applications: decorrelated, folded back, and loaded without this package.

    KERAS_BACKEND=tensorflow python benchmarks/applications.py

Builds each with random weights at 64 pixels, or 96 where 64 are too few, and prints

    converted  layers with weights that `decorrelate` converted, of all such layers
    identity   error of the decorrelated net with M = I and no centring against the original
    moved      difference that random M and means make to the outputs: the check below can fail
    fold       error of the folded net against the decorrelated one, with random M and means
    loaded     error of the folded net, saved and loaded in a process that cannot import keras_decorr

in float32, as the largest difference of the logits over the largest logit. Lines are appended to
`--out`; those that are there already are not computed again.
"""

import argparse
import contextlib
import csv
import gc
import inspect
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import keras
import numpy as np
from keras import ops
from rich.console import Console
from rich.table import Table

import keras_decorr
from keras_decorr.decorrelators import NormPreserving
from keras_decorr.training import decorrelation_layers

SIZES = (64, 96)
BATCH = 2
FIELDS = (
    "net",
    "pixels",
    "layers",
    "converted",
    "left",
    "identity",
    "moved",
    "fold",
    "loaded",
    "seconds",
)
SIZE_OF_NOISE = 0.1

LOADER = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "keras_decorr":
            raise ImportError(name)

sys.meta_path.insert(0, Blocked())
import keras, numpy as np

print("ready", flush=True)
for folder in map(str.strip, sys.stdin):
    try:
        model = keras.saving.load_model(folder + "/model.keras", compile=False)
        y = model(np.load(folder + "/x.npy"), training=False)
        np.save(folder + "/y.npy", keras.ops.convert_to_numpy(y))
        print("done", flush=True)
        del model
        keras.utils.clear_session()
    except Exception as error:
        print("failed:", repr(error)[:200].replace(chr(10), " "), flush=True)
"""


def architectures():
    """The functions of keras.applications that build a net, by name."""
    found = inspect.getmembers(keras.applications, inspect.isfunction)
    return {
        name: build for name, build in found if "weights" in inspect.signature(build).parameters
    }


def built(build):
    """A net with random weights and its size in pixels."""
    for pixels in SIZES:
        with contextlib.suppress(ValueError):
            arguments = {"input_shape": (pixels, pixels, 3), "weights": None, "classes": 10}
            return build(classifier_activation=None, **arguments), pixels
    raise ValueError(f"does not build at {SIZES} pixels")


def randomize(model, rng):
    """Random biases and moving means, as after training: zeros would hide errors."""
    for v in model.weights:
        if len(v.shape) == 1 and "variance" not in v.path and "gamma" not in v.path:
            v.assign(v + SIZE_OF_NOISE * rng.normal(size=v.shape).astype(v.dtype))


def disturb(model, rng):
    """A random non-symmetric M and random means in every layer."""
    for layer in decorrelation_layers(model):
        for M in layer.matrices:
            noise = rng.normal(size=M.shape) * SIZE_OF_NOISE / np.sqrt(M.shape[-1])
            # Where M is padded there is nothing to disturb.
            M.assign(M + noise * np.any(ops.convert_to_numpy(M), axis=-1, keepdims=True))
        layer.moving_mean.assign(SIZE_OF_NOISE * rng.normal(size=layer.moving_mean.shape))


def output(model, x):
    return ops.convert_to_numpy(model(x, training=False))


def error(y, expected):
    return float(np.abs(y - expected).max() / np.abs(expected).max())


def check(name, build, loader):
    """A line of the table."""
    start = time.perf_counter()
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    plain, pixels = built(build)
    randomize(plain, rng)
    x = rng.uniform(0.0, 255.0, size=(BATCH, pixels, pixels, 3)).astype("float32")
    expected = output(plain, x)
    identity = keras_decorr.decorrelate(plain, NormPreserving(center=False))
    identity_error = error(output(identity, x), expected)
    del identity
    model = keras_decorr.decorrelate(plain)
    report = model.conversion_report
    del plain
    disturb(model, rng)
    before, expected = expected, output(model, x)
    moved = error(expected, before)
    folded = keras_decorr.fold(model)
    del model
    fold_error = error(output(folded, x), expected)
    with tempfile.TemporaryDirectory() as folder:
        folded.save(f"{folder}/model.keras")
        np.save(f"{folder}/x.npy", x)
        loader.stdin.write(folder + "\n")
        loader.stdin.flush()
        said = loader.stdout.readline().strip()
        loaded = f"{error(np.load(f'{folder}/y.npy'), expected):.1e}" if said == "done" else said
    left = Counter(f"{row.type}: {row.reason}" for row in report.left)
    return {
        "net": name,
        "pixels": pixels,
        "layers": len(report.rows),
        "converted": len(report.converted),
        "left": "; ".join(f"{count} {why}" for why, count in left.items()),
        "identity": f"{identity_error:.1e}",
        "moved": f"{moved:.1e}",
        "fold": f"{fold_error:.1e}",
        "loaded": loaded,
        "seconds": f"{time.perf_counter() - start:.0f}",
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nets", nargs="*", help="default: all")
    parser.add_argument("--out", default="benchmarks/results/applications.csv")
    arguments = parser.parse_args()
    out = Path(arguments.out)
    done = {row["net"] for row in csv.DictReader(out.open())} if out.exists() else set()
    loader = subprocess.Popen(
        [sys.executable, "-c", LOADER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    loader.stdout.readline()
    console = Console(width=180)
    with out.open("a", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        if not done:
            writer.writeheader()
        for name, build in architectures().items():
            if name in done or (arguments.nets and name not in arguments.nets):
                continue
            try:
                row = check(name, build, loader)
            except Exception as failure:  # one net must not stop the others
                row = {"net": name, "left": f"{type(failure).__name__}: {failure}"[:200]}
            writer.writerow(row)
            file.flush()
            console.print({k: v for k, v in row.items() if k != "left"})
            keras.utils.clear_session()
            gc.collect()
    loader.stdin.close()
    table = Table(*FIELDS[:4], *FIELDS[5:], title="keras.applications")
    for row in csv.DictReader(out.open()):
        table.add_row(*(row[field] or "" for field in (*FIELDS[:4], *FIELDS[5:])))
    console.print(table)


if __name__ == "__main__":
    main()
