"""The linear rule against its recurrent form on handwritten digits.

    python benchmarks/recurrent.py --out benchmarks/results/recurrent.txt

First: a net of two hidden layers of 64 units, trained with each and with each rate: test accuracy,
the seconds of an epoch, the number of Euler steps until the first layer's units are at rest for the
test images, and in how many of the updates a layer was not at rest. Second: Euler's step against
theory. For the first layer's `L` after training, steps of `dt / tau = f 2 / l_max` with `l_max` its
largest eigenvalue: the integration must settle for f below 1 and explode above. Third: training with a
fixed step. `l_max` grows with learning, and theory says that trouble starts as it passes `2 / step`.
"""

import argparse
import time

import keras
import numpy as np
from keras import ops
from rich.console import Console
from rich.table import Table

import keras_decorr
from keras_decorr import datasets
from keras_decorr.decorrelators import NormPreserving, Recurrent
from keras_decorr.layers import DecorDense
from keras_decorr.maths.lateral import settle

SHARED = {"structure": "full", "sample_fraction": 1.0, "preserve": "raw", "gain_rate": 1.0}


def build(decorrelator, seed=0):
    keras.utils.set_random_seed(seed)
    model = keras_decorr.Sequential(
        [
            keras.Input((64,)),
            DecorDense(64, "relu", decorrelator=decorrelator),
            DecorDense(64, "relu", decorrelator=decorrelator),
            DecorDense(10, decorrelator=decorrelator),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"])
    return model


def largest_eigenvalue(model):
    L = ops.convert_to_numpy(model.decorrelation_layers[0].matrices[0])
    return float(np.abs(np.linalg.eigvals(L)).max())


def steps_to_rest(model, x, **dynamics):
    """Euler steps of the first layer for inputs `x`."""
    layer = model.decorrelation_layers[0]
    Z = ops.convert_to_tensor(x - ops.convert_to_numpy(layer.moving_mean))
    L = ops.convert_to_tensor(layer.matrices[0])
    U, count = settle(L, Z, row_axis=-2, **dynamics)
    R = ops.convert_to_numpy(Z - ops.matmul(U, ops.transpose(L)))
    Z = ops.convert_to_numpy(Z)
    return int(count), float((np.linalg.norm(R, axis=1) / np.linalg.norm(Z, axis=1)).max())


def compare(x, y, x_test, y_test, epochs):
    names = ("rule", "rate", "test accuracy", "s / epoch", "steps to rest", "l_max", "unsettled")
    table = Table(*names, title=f"linear against recurrent, {epochs} epochs, batch 32")
    recurrent = None
    for rate in (1e-4, 1e-3, 1e-2, 1e-1):
        for cls in (NormPreserving, Recurrent):
            model = build(cls(rate, **SHARED))
            model.fit(x[:64], y[:64], batch_size=32, verbose=0)  # compiles
            start = time.perf_counter()
            logs = model.fit(x, y, batch_size=32, epochs=epochs, verbose=0).history
            seconds = (time.perf_counter() - start) / epochs
            accuracy = model.evaluate(x_test, y_test, verbose=0, return_dict=True)["accuracy"]
            cells = ["", "", ""]
            if cls is Recurrent:
                count, _ = steps_to_rest(model, x_test)
                updates = 3 * epochs * -(-len(x) // 32)
                unsettled = f"{sum(logs['unsettled_updates']):.0f} of {updates}"
                cells = [str(count), f"{largest_eigenvalue(model):.2f}", unsettled]
                recurrent = model if rate == 1e-2 else recurrent
            table.add_row(
                "recurrent" if cls is Recurrent else "linear", f"{rate:g}", f"{accuracy:.4f}",
                f"{seconds:.2f}", *cells,
            )  # fmt: skip
    return table, recurrent


def euler(model, x_test):
    bound = 2 / largest_eigenvalue(model)
    title = f"Euler's step, as a share of 2 / l_max = {bound:.4f}"
    table = Table("share", "dt / tau", "steps", "residual", "at rest", title=title)
    for share in (0.1, 0.25, 0.5, 0.9, 0.99, 1.01, 1.1, 1.5):
        count, residual = steps_to_rest(model, x_test, step_size=share * bound, steps=2000)
        rest = "yes" if residual <= 1e-4 else "no"
        table.add_row(f"{share:g}", f"{share * bound:.4f}", str(count), f"{residual:.1e}", rest)
    return table


def fixed_steps(x, y, epochs):
    names = ("dt / tau", "2 tau / dt", "rate", "first epoch not at rest", "l_max then")
    table = Table(*names, title=f"training with a fixed step, up to {epochs} epochs")
    for rate in (1e-2, 1e-1):
        for step_size in (0.5, 0.25, 0.1):
            model = build(Recurrent(rate, step_size=step_size, steps=500, **SHARED))
            first = "none"
            for epoch in range(1, epochs + 1):
                logs = model.fit(x, y, batch_size=32, verbose=0).history
                if logs["unsettled_updates"][0] > 0:
                    first = str(epoch)
                    break
            largest = f"{largest_eigenvalue(model):.2f}"
            table.add_row(f"{step_size:g}", f"{2 / step_size:g}", f"{rate:g}", first, largest)
    return table


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--out", help="file to write the tables to")
    arguments = parser.parse_args()
    digits = datasets.load("digits")
    x, x_test = (
        images.reshape(-1, 64).astype("float32") / 16 for images in (digits.x_train, digits.x_test)
    )
    first, model = compare(x, digits.y_train, x_test, digits.y_test, arguments.epochs)
    tables = [first, euler(model, x_test), fixed_steps(x, digits.y_train, arguments.epochs)]
    for table in tables:
        Console().print(table)
    if arguments.out:
        with open(arguments.out, "w") as file:
            console = Console(file=file, width=100)
            console.print(f"backend {keras.backend.backend()}, float32")
            for table in tables:
                console.print(table)


if __name__ == "__main__":
    main()
