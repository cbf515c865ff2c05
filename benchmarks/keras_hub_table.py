"""Backbones and tasks of keras_hub: decorrelated, trained, saved and loaded, folded back.

    KERAS_BACKEND=tensorflow python -m benchmarks.keras_hub_table

Builds each model of `tests/conversion/hub.py`, small and with random weights, and prints

    converted  layers that `decorrelate` converted, of those that are linear maps of features
    identity   largest difference of the outputs with M = I from those of the original
    steps      steps that each M has taken in three of `fit`, and whether each has moved
    effect     largest difference that it makes to the outputs of the trained model to set M = I
    loaded     largest difference of the trained model, saved and loaded in another process
    folded     of that folded, saved and loaded in a process that cannot import keras_decorr
    seconds    of all this

in float32, differences over the largest output. Below the table stands which layers with weights stayed
plain, with the reason that the report gives, and where M had nothing to learn. Where keras_hub refuses
to train, M is set from data (`keras_decorr.adapt`), with no step. `--out` gets the same.
"""

import argparse
import gc
import pickle
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

import keras
import keras_hub
import numpy as np
from keras import ops
from rich.console import Console
from rich.table import Table

import keras_decorr
from keras_decorr.training.step import decorrelation_layers, name_within
from tests.conversion.hub import CASES, inputs_of, linear_maps

COLUMNS = (
    "model",
    "converted",
    "identity",
    "steps",
    "moved",
    "effect",
    "loaded",
    "folded",
    "seconds",
)
STEPS = 3
TOLERANCE = 1e-4
ERRORS = ("identity", "loaded", "folded")

LOADER = """
import os, sys

os.chdir(sys.argv[1])
if sys.argv[2] == "plain":
    class Blocked:
        def find_spec(self, name, path=None, target=None):
            if name.split(".")[0] in ("keras_decorr", "tests"):
                raise ImportError(name)

    sys.meta_path.insert(0, Blocked())
else:
    import keras_decorr
import keras, keras_hub, pickle
import numpy as np

print("ready", flush=True)
for folder in map(str.strip, sys.stdin):
    try:
        model = keras.saving.load_model(folder + "/model.keras")
        with open(folder + "/inputs.pickle", "rb") as file:
            y = model(pickle.load(file), training=False)
        y = [keras.ops.convert_to_numpy(x) for x in keras.tree.flatten(y)]
        np.savez(folder + "/y.npz", *y)
        print("done", flush=True)
        del model
        keras.utils.clear_session()
    except Exception as error:
        print("failed:", repr(error)[:600].replace(chr(10), " "), flush=True)
"""


class Loader:
    """A process that loads models and says what their outputs are.

    Args:
        kind: `"plain"` for one that cannot import keras_decorr.
        folder: Where it runs.
    """

    def __init__(self, kind, folder):
        self._process = subprocess.Popen(
            [sys.executable, "-c", LOADER, folder, kind],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        self._answer()

    def _answer(self):
        for line in self._process.stdout:
            if line.startswith(("ready", "done", "failed")):
                return line.strip()
        raise RuntimeError("the process has ended")

    def error(self, model, x, expected):
        """The largest difference of the outputs of a saved and loaded model."""
        with tempfile.TemporaryDirectory() as folder:
            model.save(f"{folder}/model.keras")
            x = keras.tree.map_structure(ops.convert_to_numpy, x)
            Path(folder, "inputs.pickle").write_bytes(pickle.dumps(x))
            self._process.stdin.write(folder + "\n")
            self._process.stdin.flush()
            said = self._answer()
            if said != "done":
                raise RuntimeError(said)
            with np.load(f"{folder}/y.npz") as found:
                return largest_difference(list(found.values()), expected)

    def end(self):
        self._process.stdin.close()
        self._process.wait()


def outputs(model, x):
    return [ops.convert_to_numpy(y) for y in keras.tree.flatten(model(x, training=False))]


def largest_difference(ours, theirs):
    return max(
        float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-6))
        for a, b in zip(ours, theirs, strict=True)
    )


def converted(plain):
    """The decorrelated model, a copy unless Keras cannot make one, and what it said to that."""
    try:
        return keras_decorr.decorrelate(plain, head=True), None
    except ValueError as error:
        if "Keras cannot copy" not in str(error):
            raise
        refusal = str(error).splitlines()[0]
    return keras_decorr.decorrelate(plain, head=True, inplace=True), refusal


def check(name, row, notes, loaders, eagerly):
    """Fills a row of the table, as far as it comes, and adds notes on what is not as it should be."""
    case, rng = CASES[name], np.random.default_rng(0)
    keras.utils.set_random_seed(0)
    plain = case.build()
    batch = case.batch(rng)
    x = inputs_of(plain, batch)
    expected = outputs(plain, x)
    model, refusal = converted(plain)
    if refusal:
        notes.append(f"in place: {refusal}")
    decorrelating, left = linear_maps(model)
    row["converted"] = f"{len(decorrelating)} of {len(decorrelating) + len(left)}"
    reasons = Counter(
        f"{r.type}: {r.reason}" for r in model.conversion_report.left if not said_already(r.reason)
    )
    notes.extend(f"plain: {count} {why}" for why, count in reasons.items())
    row["identity"] = f"{largest_difference(outputs(model, x), expected):.1e}"

    layers = decorrelation_layers(model)
    before = [matrices(layer) for layer in layers]
    train(model, case, batch, rng, eagerly)
    steps = [int(ops.convert_to_numpy(layer.steps)) for layer in layers]
    moved = [
        any(np.any(old != M) for M, old in zip(matrices(layer), olds, strict=True))
        for layer, olds in zip(layers, before, strict=True)
    ]
    row["steps"] = " ".join(map(str, sorted(set(steps))))
    row["moved"] = f"{sum(moved)} of {len(moved)}"
    for layer, taken, has_moved in zip(layers, steps, moved, strict=True):
        path = name_within(layer, model)
        if path.endswith(case.still):
            notes.append(f"{path}: {taken} steps: its inputs are the same in every row")
        elif taken != (STEPS if case.loss else 0) or not has_moved:
            raise AssertionError(f"{path}: {taken} steps, {'' if has_moved else 'not '}moved")

    expected = outputs(model, x)
    row["effect"] = f"{largest_difference(without_M(model, before, x), expected):.1e}"
    row["loaded"] = f"{loaders['ours'].error(model, x, expected):.1e}"
    folded = keras_decorr.fold(model, inplace=refusal is not None)
    row["folded"] = f"{loaders['plain'].error(folded, x, expected):.1e}"
    wrong = [column for column in ERRORS if not float(row[column]) < TOLERANCE]
    if case.loses and wrong:
        notes.append(f"keras_hub does not save {case.loses}")
        wrong = [column for column in wrong if column not in ("loaded", "folded")]
    if wrong or left:
        raise AssertionError(f"other outputs: {wrong}, plain: {left}")


def matrices(layer):
    return [ops.convert_to_numpy(M).copy() for M in layer.matrices]


def train(model, case, batch, rng, eagerly):
    """Three steps; where keras_hub refuses them, M from data."""
    if case.loss is None:
        keras_decorr.adapt(model, batch)
        return
    y = case.targets(model(inputs_of(model, batch), training=False), rng)
    model.compile("adam", case.loss, run_eagerly=eagerly, jit_compile=False)
    model.fit(batch, y, batch_size=64, epochs=STEPS, shuffle=False, verbose=0)


def without_M(model, identities, x):
    """The outputs with M = I, the other weights being what they are."""
    layers = decorrelation_layers(model)
    learned = [matrices(layer) for layer in layers]
    try:
        assign(layers, identities)
        return outputs(model, x)
    finally:
        assign(layers, learned)


def assign(layers, values):
    for layer, of_layer in zip(layers, values, strict=True):
        for M, value in zip(layer.matrices, of_layer, strict=True):
            M.assign(value)


def said_already(reason):
    """Whether a layer has no linear map of features, so that it says nothing to be left plain."""
    return reason.startswith(("acts on each feature alone", "a lookup"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="*", default=list(CASES), help="default: all")
    parser.add_argument("--out", default="benchmarks/results/keras_hub.txt")
    parser.add_argument("--eagerly", action="store_true", help="train without compiling")
    parser.add_argument("--traceback", action="store_true", help="of what fails")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", message=".*does not support `training`.*")
    table, notes, failed = Table(*COLUMNS, title="keras_hub"), [], 0
    with tempfile.TemporaryDirectory() as folder:
        loaders = {kind: Loader(kind, folder) for kind in ("ours", "plain")}
        for name in arguments.models:
            start, row, of_model = time.perf_counter(), {"model": name}, []
            try:
                check(name, row, of_model, loaders, arguments.eagerly)
            except Exception as error:  # one model must not stop the others
                failed += 1
                of_model.append(f"FAILED: {type(error).__name__}: {str(error)[:800]}")
                if arguments.traceback:
                    traceback.print_exc()
            row["seconds"] = f"{time.perf_counter() - start:.0f}"
            print(row, *of_model, sep="\n    ", flush=True)
            table.add_row(*(row.get(column, "") for column in COLUMNS))
            notes.extend(f"{name}: {note}" for note in of_model)
            keras.utils.clear_session()
            gc.collect()
        for loader in loaders.values():
            loader.end()
    with Path(arguments.out).open("w") as file:
        for out in (Console(width=140), Console(file=file, width=140)):
            out.print(
                f"keras_hub {keras_hub.__version__}, Keras {keras.__version__}, backend "
                f"{keras.backend.backend()}: {len(arguments.models) - failed} of "
                f"{len(arguments.models)} models pass"
            )
            out.print(table)
            for note in notes:
                out.print(note, markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    main()
