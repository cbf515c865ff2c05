"""What each decorrelation rule costs, and how far it gets, on the same correlated Gaussian data.

    python benchmarks/decorrelators.py --out benchmarks/results/decorrelators.txt

The data are an autoregression: features of variance 1 whose correlation is `0.9 ** |i - j|`. A
`Decorrelation` layer sees fresh rows of them batch by batch, and every row counts in the update. Each
rule has the rate of a grid that leaves the least correlation at the first size, and where it diverges
with that, the next lower one. The correlation is exact, of `M Sigma M^T`: the root mean square of the
correlation coefficients off the diagonal, before and after. A full M for 64 and 512 features; a
Monarch M of 32 groups for 3072, and a full one for the rules whose update is a few products of the
rows with M. Times are of a call with the update, compiled, as the median over the steps.
"""

import argparse
import time

import numpy as np
import tensorflow as tf
from keras import ops
from rich.console import Console
from rich.table import Table

from keras_decorr.decorrelators import ZCA, DecorrelatedBackprop, Foldiak, NormPreserving, Recurrent
from keras_decorr.layers import Decorrelation
from keras_decorr.maths.correlation import squared_norms
from keras_decorr.maths.lateral import settle

RHO = 0.9
RATES = (1e-3, 1e-2, 1e-1)
RULES = {
    "norm_preserving": (NormPreserving, {}),
    "norm_preserving, gain_rate=1": (NormPreserving, {"gain_rate": 1.0}),
    "decorrelated_backprop": (DecorrelatedBackprop, {"kappa": 0.5}),
    "recurrent": (Recurrent, {"gain_rate": 1.0}),
    "foldiak": (Foldiak, {}),
    "zca, newton_schulz": (ZCA, {"method": "newton_schulz"}),
    "zca, eigh": (ZCA, {"method": "eigh"}),
}
LINEAR = (NormPreserving, DecorrelatedBackprop)


def gaussian(rng, rows, n):
    """Rows of the autoregression."""
    X = rng.normal(size=(rows, n)).astype("float32")
    for i in range(1, n):
        X[:, i] = RHO * X[:, i - 1] + np.sqrt(1 - RHO**2, dtype="float32") * X[:, i]
    return X


def root(n):
    """`R` with `R^T R` the covariance."""
    i = np.arange(n)
    return np.linalg.cholesky(RHO ** np.abs(i[:, None] - i)).T.astype("float32")


def correlation(U):
    """Root mean square of the correlation coefficients off the diagonal, of rows `U`."""
    U = U / np.linalg.norm(U, axis=0)
    C = U.T @ U
    n = len(C)
    return np.sqrt((np.sum(C**2) - n) / (n * (n - 1)))


def structures(rule, n):
    """Those in which a rule is measured."""
    if n <= 512:
        return ("full",)
    return ("monarch", "full") if RULES[rule][0] in LINEAR else ("monarch",)


def run(rule, rate, structure, n, batch, steps, pool, R):
    """Correlation, milliseconds a step and steps to settle of one rule with one rate."""
    cls, arguments = RULES[rule]
    layer = Decorrelation(
        cls(
            learning_rate=rate, structure=structure, sample_fraction=1.0, center=False,
            max_samples=None, **arguments,
        )
    )  # fmt: skip
    layer.build((batch, n))
    call = tf.function(lambda x: layer(x, training=True))
    times = []
    for step in range(steps):
        x = tf.constant(pool[step % len(pool)])
        start = time.perf_counter()
        call(x).numpy()
        times.append(time.perf_counter() - start)
    matrices = [ops.convert_to_tensor(M) for M in layer.matrices]
    U = ops.convert_to_numpy(layer.operator.apply(matrices, ops.convert_to_tensor(R)))
    count = ""
    if "unsettled_updates" in layer.decorrelator.reports:
        Z = ops.convert_to_tensor(pool[0])
        stages, _ = layer.operator.stages(matrices, Z, squared_norms(Z))
        counts = [int(settle(stage.M, stage.Z, stage.row_axis)[1]) for stage in stages]
        count = " + ".join(map(str, counts))
    left = float(correlation(U)) if np.all(np.isfinite(U)) else np.inf
    return left if np.isfinite(left) else np.inf, 1e3 * float(np.median(times[2:])), count


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 512, 3072])
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--out", help="file to write the table to")
    arguments = parser.parse_args()
    batch, steps = arguments.batch_size, arguments.steps
    names = ("n", "M", "rule", "rate", "ms / step", "settles in", "before", "after")
    title = f"correlation before and after {steps} steps of {batch} rows, TensorFlow, float32"
    table = Table(*names, title=title)
    best = {}
    for n in arguments.sizes:
        rng = np.random.default_rng(0)
        pool = [gaussian(rng, batch, n) for _ in range(min(steps, 40))]
        R = root(n)
        for rule, structure in [(name, s) for name in RULES for s in structures(name, n)]:
            tried = []
            for rate in sorted(RATES, reverse=True):
                if rate <= best.get(rule, rate):
                    tried.append((run(rule, rate, structure, n, batch, steps, pool, R), rate))
                if rule in best and tried and np.isfinite(tried[-1][0][0]):
                    break
            (left, ms, count), rate = min(tried)
            best.setdefault(rule, rate)
            table.add_row(
                str(n), structure, rule, f"{rate:g}", f"{ms:.1f}", count,
                f"{correlation(R):.4f}", f"{left:.4f}",
            )  # fmt: skip
        table.add_section()
    Console().print(table)
    if arguments.out:
        with open(arguments.out, "w") as file:
            Console(file=file, width=110).print(table)


if __name__ == "__main__":
    main()
