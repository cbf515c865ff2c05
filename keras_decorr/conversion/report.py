"""What a conversion did with every layer."""

import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import keras
from rich.console import Console
from rich.table import Table

from keras_decorr.backend.keras_internals import flatten_layers
from keras_decorr.layers import Decorrelation


@dataclass(frozen=True)
class Row:
    """What became of one layer.

    Attributes:
        path: Name of the layer, behind those of the models and layers it is in.
        type: Its type.
        converted: Whether another layer takes its place.
        into: The type of that layer.
        structure: Structure of its M; several are joined by `+`.
        features: Features that its M decorrelates, of the largest if there are several.
        reason: Why the layer was left as it is.
    """

    path: str
    type: str
    converted: bool
    into: str | None = None
    structure: str | None = None
    features: int | None = None
    reason: str | None = None


class ConversionReport:
    """A row for every layer with weights.

    Args:
        rows: List of `Row`.

    Example:

    >>> import keras, keras_decorr
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="head")])
    >>> report = keras_decorr.decorrelate(model).conversion_report
    >>> [(row.path, row.into) for row in report.converted]
    [('head', 'DecorDense')]
    """

    def __init__(self, rows: Iterable[Row]) -> None:
        self.rows = list(rows)

    @property
    def converted(self) -> list[Row]:
        """The rows of the layers that were converted."""
        return [row for row in self.rows if row.converted]

    @property
    def left(self) -> list[Row]:
        """The rows of the layers that were not."""
        return [row for row in self.rows if not row.converted]

    def attach(self, model: keras.Model) -> keras.Model:
        """Make this the `conversion_report` of a model, past Keras's tracking."""
        object.__setattr__(model, "conversion_report", self)
        return model

    def __str__(self) -> str:
        table = Table(title=f"{len(self.converted)} of {len(self.rows)} layers converted")
        for column in ("layer", "type", "into", "structure", "features"):
            table.add_column(column, no_wrap=True)
        table.add_column("why not", overflow="fold", min_width=24)
        for row in self.rows:
            cells = (row.path, row.type, row.into, row.structure, row.features, row.reason)
            table.add_row(*("" if cell is None else str(cell) for cell in cells))
        text = io.StringIO()
        Console(file=text, width=140).print(table)
        return text.getvalue().rstrip()

    def __repr__(self) -> str:
        return f"<ConversionReport: {len(self.converted)} of {len(self.rows)} layers converted>"


def structure_of(layer: Any) -> str | None:
    """The structures of M in a built decorrelating layer, `None` if there is none."""
    names = dict.fromkeys(part.operator.name for part in _decorrelations(layer))
    return " + ".join(names) or None


def features_of(layer: Any) -> int | None:
    """Features of the largest M in a built decorrelating layer, `None` if there is none."""
    return max((part.operator.n for part in _decorrelations(layer)), default=None)


def _decorrelations(layer: Any) -> list[Any]:
    return [
        part
        for part in flatten_layers(layer)
        if isinstance(part, Decorrelation) and part.decorrelator is not None
    ]
