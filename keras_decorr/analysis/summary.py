"""Counts what decorrelation costs a model, layer by layer: weights, bytes and multiply-adds."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops
from rich import box
from rich.console import Console
from rich.table import Table

from keras_decorr.decorrelators.cost import USUAL_BATCH, cost
from keras_decorr.layers import Decorrelation
from keras_decorr.training.step import name_within, required_decorrelation_layers


class Row(NamedTuple):
    """Holds what one `Decorrelation` adds to its layer.

    Attributes:
        name: Path of the layer, within the model.
        features: Features `n` that M decorrelates.
        structure: Structure of M.
        updates: Steps in which M has taken part so far.
        weights: Weights that decorrelation adds.
        size: Bytes that they take.
        step: Multiply-adds that it adds to a training step.
        plain_step: Those of a training step of the linear map.
        inference: Multiply-adds that it adds to one sample in inference, before `fold`: its share of
            those of a batch.
        plain_inference: Those of the linear map for one sample.
    """

    name: str
    features: int
    structure: str
    updates: int
    weights: int
    size: int
    step: int
    plain_step: int
    inference: int
    plain_inference: int


def costs(model: keras.Model, batch_size: int = USUAL_BATCH) -> list[Row]:
    """Counts what decorrelation adds to a built model.

    Args:
        model: A built Keras model with decorrelating layers.
        batch_size: Samples a batch.

    Returns:
        A list of `Row`, one for each M. A layer whose inputs are of unknown size counts as if it had
        one row a sample.

    Raises:
        ValueError: If the model is not built, or has no decorrelating layer.

    Example:

    >>> import keras_decorr
    >>> model = keras_decorr.models.dense_net((8, 8, 1), 10, hidden=(64,))
    >>> [(row.features, row.structure) for row in keras_decorr.analysis.costs(model)]
    [(64, 'monarch'), (64, 'monarch')]
    """
    layers = required_decorrelation_layers(model)
    return [_row(layer, model, batch_size) for layer in layers]


def _row(layer: Decorrelation, model: keras.Model, batch: int) -> Row:
    counted = cost(layer.operator, layer.work, layer.decorrelator, batch)
    return Row(
        name=name_within(layer, model),
        features=layer.operator.n,
        structure=layer.operator.name,
        updates=int(ops.convert_to_numpy(layer.steps)),
        weights=sum(math.prod(v.shape) for v in layer.variables),
        size=sum(math.prod(v.shape) * _bytes(v.dtype) for v in layer.variables),
        step=counted.extra_step,
        plain_step=counted.plain_step,
        inference=counted.inference // batch,
        plain_inference=counted.plain_inference // batch,
    )


def summary(
    model: keras.Model, batch_size: int = USUAL_BATCH, console: Console | None = None
) -> None:
    """Prints what decorrelation adds to a model: each layer, and the total of these layers.

    Multiply-adds are counted, not measured: a training step of a linear map is three products (forward,
    and two gradients); that of M is one forward, one backward and its update. In inference M is applied
    or folded at each call, at the batch size given; `keras_decorr.fold(model)` makes it free. Those of
    layers without M are not counted: beside a whole model the percentages are lower.

    Args:
        model: A built Keras model with decorrelating layers.
        batch_size: Samples a batch. Defaults to 256.
        console: A `rich.console.Console` to print to. Defaults to standard output.

    Raises:
        ValueError: If the model is not built, or has no decorrelating layer.

    Example:

    >>> import keras, keras_decorr
    >>> from keras_decorr.layers import DecorDense
    >>> from rich.console import Console
    >>> layers = [keras.Input((64,)), DecorDense(64, name="hidden"), DecorDense(10, name="out")]
    >>> model = keras_decorr.Sequential(layers, name="net")
    >>> keras_decorr.summary(model, console=Console(width=80))
                       What decorrelation adds to 'net', batch 256
     layer            n  structure  steps  weights    bytes         step  inference
     ───────────────────────────────────────────────────────────────────────────────
     hidden          64  monarch        0   1.09 k  4.27 KB    159 k +5%    256 +6%
     out             64  monarch        0   1.09 k  4.27 KB  48.7 k +10%     40 +6%
     total                                  2.18 k  8.53 KB    208 k +6%    296 +6%
    step: multiply-adds of a training step; inference: a sample's share ...
    """
    rows = costs(model, batch_size)
    title = f"What decorrelation adds to {model.name!r}, batch {batch_size}"
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("layer", overflow="fold", min_width=14)
    table.add_column("n", justify="right", no_wrap=True)
    table.add_column("structure", no_wrap=True)
    for name in ("steps", "weights", "bytes", "step", "inference"):
        table.add_column(name, justify="right", no_wrap=True)

    def figures(row: Row) -> tuple[str, str, str, str]:
        return (
            _short(row.weights),
            _size(row.size),
            _beside(row.step, row.plain_step),
            _beside(row.inference, row.plain_inference),
        )

    for row in rows:
        table.add_row(row.name, str(row.features), row.structure, str(row.updates), *figures(row))
    table.add_section()
    total = _total(rows)
    table.add_row(total.name, "", "", "", *figures(total))
    plain = model.count_params() - total.weights
    legend = (
        f"step: multiply-adds of a training step; inference: a sample's share of those of a batch of "
        f"{batch_size}, before `fold`.\n"
        "+x%: of those of the layer's linear map, in the last row of all these maps; layers without M "
        "are not counted.\n"
        f"The whole plain model has {plain:,} weights; decorrelation adds "
        f"{100 * total.weights / max(plain, 1):.1f}%."
    )
    console = console or Console()
    console.print(table)
    # As the table's caption it would be cut where the table is wider than the console.
    console.print(legend, style="table.caption", highlight=False)


def _total(rows: Sequence[Row]) -> Row:
    names = ("weights", "size", "step", "plain_step", "inference", "plain_inference")
    sums = {name: sum(getattr(row, name) for row in rows) for name in names}
    return Row(name="total", features=0, structure="", updates=0, **sums)


def _beside(extra: int, plain: int) -> str:
    return f"{_short(extra)} +{100 * extra / max(plain, 1):.0f}%"


def _bytes(dtype: Any) -> int:
    return int(np.dtype(keras.backend.standardize_dtype(dtype)).itemsize)


def _size(count: int) -> str:
    units = ("B", "KB", "MB", "GB", "TB")
    power = min(int(math.log(max(count, 1), 1024)), len(units) - 1)
    return f"{count / 1024**power:.2f} {units[power]}"


def _short(count: int) -> str:
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return str(count)
