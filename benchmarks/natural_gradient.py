"""Does decorrelation turn a layer's update towards the natural gradient? Digits, and CIFAR-10.

    KERAS_BACKEND=tensorflow python benchmarks/natural_gradient.py --dataset digits
    KERAS_BACKEND=tensorflow python benchmarks/natural_gradient.py --dataset cifar10 --data-dir DIR

Trains a dense net with and without decorrelation and measures, before, during and after, the angle
between each layer's update and its natural gradients (`keras_decorr.analysis`) on training images that
are the same each time. Writes a table (angles.csv, angles.txt) and a figure (angles.png) to a folder of
--out for the data set. Nets: that of the paper on CIFAR-10 (4 x 1000), 2 x 16 units on the digits.
"""

import argparse
import csv
import time
from collections import defaultdict
from pathlib import Path

import keras
import numpy as np
from rich.console import Console
from rich.table import Table

from keras_decorr import datasets, decorrelators, models, plots
from keras_decorr.analysis import natural_gradient_alignment

# Adam's rate, and that of M by structure.
SETTINGS = {
    "digits": {
        "hidden": (16, 16), "rate": 1e-3, "full": 2e-3, "monarch": 2e-3, "epochs": (0, 1, 5, 20),
        "rows": 720, "batch": 64, "exact_parameters": 1040,
    },
    "cifar10": {
        "hidden": (1000,) * 4, "rate": 3e-4, "full": 1e-5, "monarch": 5e-5, "epochs": (0, 1, 3),
        "rows": 1000, "batch": 256, "exact_parameters": 0,
    },
}  # fmt: skip
REFERENCES = ("input_factor", "both_factors", "exact")


def build(images, settings, variant, seed):
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    decorrelator = None
    if variant != "plain":
        # The paper's rule: it is the paper's claim.
        decorrelator = decorrelators.NormPreserving(
            settings[variant], "raw", 1.0, update_every=1, damping=0.0, structure=variant
        )
    model = models.dense_net(
        images.input_shape, images.classes, decorrelator, settings["hidden"],
        classifier_activation=None,
    )  # fmt: skip
    model.compile(
        keras.optimizers.Adam(settings["rate"]),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def measured(model, x, y, settings, dampings):
    """Rows of the table: every layer, damping and direction."""
    found = natural_gradient_alignment(
        model, x, y, dampings, exact_parameters=settings["exact_parameters"]
    )
    number = {name: i + 1 for i, name in enumerate(dict.fromkeys(f.name for f in found))}
    for layer in found:
        for direction in ("update", "centred", "plain"):
            yield {
                "layer": number[layer.name],
                "inputs": layer.inputs,
                "outputs": layer.outputs,
                "damping": layer.damping,
                "direction": direction,
                **getattr(layer, direction)._asdict(),
                "input_to_both": layer.input_to_both,
                "both_to_exact": layer.both_to_exact,
            }


def run(images, settings, variant, seed, dampings, x, y):
    model = build(images, settings, variant, seed)
    start, done, test = time.perf_counter(), 0, images.test(1024)
    for epoch in settings["epochs"]:
        for past in range(done, epoch):
            data = images.train(settings["batch"], False, seed=1000 * seed + past)
            model.fit(data, verbose=0)
        done = epoch
        accuracy = model.evaluate(test, verbose=0, return_dict=True)["accuracy"]
        yield [
            {"net": variant, "seed": seed, "epoch": epoch, "test_accuracy": accuracy, **row}
            for row in measured(model, x, y, settings, dampings)
        ]
        print(
            f"{variant}, seed {seed}, epoch {epoch}: {time.perf_counter() - start:.0f} s",
            flush=True,
        )


def table(rows, damping, title):
    """Angles of every layer, a mean over seeds, at one damping."""
    cells = defaultdict(list)
    for row in rows:
        if row["damping"] == damping:
            key = row["net"], row["epoch"], row["layer"]
            cells[key].append(row)
    out = Table(title=title, caption="angles in degrees; left: what the output factor still turns")
    for name in ("net", "epoch", "accuracy", "layer"):
        out.add_column(name)
    for reference in ("A", "A, G", "F"):
        for direction in ("update", "centred", "plain"):
            out.add_column(f"{direction} to {reference}", justify="right")
    out.add_column("left", justify="right")
    for (net, epoch, layer), found in cells.items():
        values = []
        for reference in REFERENCES:
            for direction in ("update", "centred", "plain"):
                angles = [r[reference] for r in found if r["direction"] == direction]
                values.append("" if np.isnan(angles).any() else f"{np.mean(angles):.1f}")
        accuracy = np.mean([r["test_accuracy"] for r in found])
        left = np.mean([r["input_to_both"] for r in found])
        out.add_row(net, str(epoch), f"{accuracy:.3f}", str(layer), *values, f"{left:.1f}")
    return out


def draw(rows, damping, path, title):
    """Angles of the update of every layer to the natural gradients, at each measured epoch."""
    panels: dict = {}
    references = {"input_factor": "to $A^{-1}D$", "both_factors": "to $A^{-1}DG^{-1}$"}
    if not all(np.isnan(row["exact"]) for row in rows):
        references["exact"] = "to $F^{-1}D$"
    epochs = sorted({row["epoch"] for row in rows})
    for reference, name in references.items():
        for epoch in epochs:
            panel = panels.setdefault(f"{name}, epoch {epoch}", {})
            for row in rows:
                if (row["damping"], row["direction"], row["epoch"]) == (damping, "update", epoch):
                    layers = panel.setdefault(row["net"], defaultdict(list))
                    layers[f"layer {row['layer']}"].append(row[reference])
    plots.alignment_angles(panels, path, title, columns=len(epochs))


def save(rows, path):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        for row in rows:
            writer.writerow({k: f"{v:.4g}" if isinstance(v, float) else v for k, v in row.items()})


def write(out, dataset):
    """The text and the figure of `angles.csv`."""
    with (out / "angles.csv").open(newline="") as file:
        rows = [{k: _number(v) for k, v in row.items()} for row in csv.DictReader(file)]
    dampings = sorted({row["damping"] for row in rows}, reverse=True)
    seeds = len({row["seed"] for row in rows})
    title = f"{dataset}, dense net, {seeds} seed{'s' * (seeds > 1)}"
    with (out / "angles.txt").open("w") as file:
        for damping in dampings:
            for console in (Console(width=160), Console(file=file, width=160)):
                console.print(table(rows, damping, f"{title}, damping {damping:g}"))
    damping = dampings[len(dampings) // 2]
    draw(rows, damping, out / "angles.png", f"{title}, damping {damping:g}")


def _number(text):
    try:
        return int(text)
    except ValueError:
        try:
            return float(text)
        except ValueError:
            return text


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", choices=sorted(SETTINGS), default="digits")
    parser.add_argument("--data-dir")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/natural_gradient"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--nets", nargs="+", default=["plain", "monarch", "full"])
    parser.add_argument("--damping", nargs="+", type=float, default=[1e-1, 1e-2, 1e-3])
    parser.add_argument("--rows", type=int)
    parser.add_argument(
        "--redraw", action="store_true", help="only write and draw angles.csv again"
    )
    arguments = parser.parse_args()
    settings = SETTINGS[arguments.dataset]
    out = arguments.out / arguments.dataset
    if arguments.redraw:
        return write(out, arguments.dataset)
    images = datasets.load(arguments.dataset, arguments.data_dir)
    count = arguments.rows or settings["rows"]
    x, y = (np.asarray(v) for v in next(iter(images.train(count, False, seed=7))))
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    for seed in range(arguments.seeds):
        for net in arguments.nets:
            for found in run(images, settings, net, seed, arguments.damping, x, y):
                rows += found
                save(rows, out / "angles.csv")
    write(out, arguments.dataset)


if __name__ == "__main__":
    main()
