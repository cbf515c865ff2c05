"""How the error of node perturbation's finite difference depends on sigma.

    KERAS_BACKEND=tensorflow python benchmarks/sigma.py --out benchmarks/results

For nets with random weights on the digits it compares, sample by sample and with the same noise,
`(L(a + sigma xi) - L(a)) / sigma` with its limit, the directional derivative, computed in float32. Too
large a sigma leaves the linear range, too small a one drowns in rounding. Prints the relative error
for each sigma in float32 and mixed_bfloat16, and draws it.
"""

import argparse
from pathlib import Path

import keras
import numpy as np
from keras import ops
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from keras_decorr import datasets, models
from keras_decorr.backend.autodiff import derivative
from keras_decorr.context import wiring
from keras_decorr.rules import NodePerturbation
from keras_decorr.rules.node_perturbation import CleanWiring, NoisyWiring
from keras_decorr.rules.noise import Noise
from keras_decorr.rules.per_sample import contributions

SIGMAS = 10.0 ** np.arange(-7, 0.5, 0.5)
NETS = {"dense": {"hidden": (256, 256, 256, 256)}, "conv": {"hidden": 256}}


def build(net, policy):
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(policy)
    model = getattr(models, f"{net}_net")((8, 8, 1), 10, classifier_activation=None, **NETS[net])
    keras.config.set_dtype_policy("float32")
    model.compile(
        "sgd",
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        learning_rule=NodePerturbation(seed=1),
    )
    return model


def losses(model, x, y, wires):
    with wiring.opened(wires):
        return contributions(model, y, model(x), None, "node_perturbation")


def relative_errors(net, policy, x, y):
    """The relative error of the change of the loss along the noise, for each sigma."""
    model, exact = build(net, policy), build(net, "float32")
    model.set_weights(exact.get_weights())
    for m in (model, exact):
        m.evaluate(x, y, verbose=0)  # builds the loss
    state = exact.learning_rule_state
    seed = ops.convert_to_tensor(state.seed_and_step)

    def noisy(m, size):
        return losses(m, x, y, NoisyWiring(CleanWiring(), Noise(state, seed, 0), size))

    _, slope = derivative(lambda size: noisy(exact, size))
    before = losses(model, x, y, CleanWiring())
    norm = float(ops.norm(slope))
    for sigma in SIGMAS:
        yield float(ops.norm((noisy(model, float(sigma)) - before) / sigma - slope)) / norm


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("."))
    parser.add_argument("--samples", type=int, default=256)
    arguments = parser.parse_args()
    x, y = next(iter(datasets.load("digits").train(arguments.samples, seed=0)))
    x, y = (ops.convert_to_tensor(np.asarray(part)) for part in (x, y))
    errors = {
        f"{net}, {policy}": list(relative_errors(net, policy, x, y))
        for net in NETS
        for policy in ("float32", "mixed_bfloat16")
    }
    table = Table("sigma", *errors, title="relative error of the finite difference")
    for i, sigma in enumerate(SIGMAS):
        table.add_row(f"{sigma:.1e}", *(f"{error[i]:.2g}" for error in errors.values()))
    with (arguments.out / "sigma.txt").open("w") as file:
        for console in (Console(), Console(file=file, width=100)):
            console.print(f"backend {keras.backend.backend()}, {arguments.samples} digits")
            console.print(table)
    figure = Figure(figsize=(6, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for (name, error), marker in zip(errors.items(), "osD^", strict=True):
        axes.loglog(
            SIGMAS, error, marker=marker, linestyle="--" if "bf" in name else "-", label=name
        )
    axes.axhline(1.0, color="black", linewidth=0.8)
    axes.set(xlabel="sigma", ylabel="relative error", ylim=(None, 1e3))
    axes.set_title("finite difference against its limit")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(arguments.out / "sigma.png", dpi=120)


if __name__ == "__main__":
    main()
