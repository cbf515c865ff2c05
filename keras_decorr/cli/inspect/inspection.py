"""Measures correlations, M and natural-gradient angles of a trained model."""

import json
import math
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_decorr import datasets, metrics
from keras_decorr.analysis import natural_gradient_alignment
from keras_decorr.cli.compare.run import MODEL, read
from keras_decorr.cli.folders.folder import explain_other_content
from keras_decorr.cli.tasks import IMAGES
from keras_decorr.metrics.decorrelation_state import state_of
from keras_decorr.training import decorrelation_layers


class Batch:
    """Holds the samples to inspect a model with.

    Attributes:
        x: Inputs.
        y: Targets, or `None`.
        source: Where they are from, to show.
    """

    def __init__(self, x: Any, y: Any, source: str) -> None:
        self.x, self.y, self.source = x, y, source

    @classmethod
    def of_dataset(cls, name: str, data_dir: str | None, samples: int) -> Any:
        """Loads the first samples for testing of a data set, as `compare` feeds them."""
        x, y = next(iter(datasets.load(name, data_dir).test(samples)))
        return cls(np.asarray(x), np.asarray(y), f"{len(x)} samples for testing of {name}")

    @classmethod
    def of_file(cls, path: Any, samples: int) -> Any:
        """Loads the first samples of an `.npz` file with an array `x`, and `y` for the angles.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it is no `.npz` file with an `x`, or an array has no samples of numbers.
        """
        if not Path(path).is_file():
            raise FileNotFoundError(f"Option --data must be an .npz file. Received: {str(path)!r}")
        try:
            with np.load(path) as arrays:
                found = {name: arrays[name] for name in ("x", "y") if name in arrays}
        except (ValueError, OSError, AttributeError, TypeError) as error:
            raise ValueError(
                "Option --data must be an .npz file, as `numpy.savez(path, x=x, y=y)` writes it. "
                f"Received: {str(path)!r} ({error})"
            ) from error
        found = {name: _first(name, array, samples) for name, array in found.items()}
        if "x" not in found or not len(found["x"]):
            raise ValueError(
                "The file of --data must hold inputs `x`, and targets `y` for the angles. "
                f"Received: {str(path)!r}"
            )
        x = found["x"].astype("float32") if found["x"].dtype == "float64" else found["x"]
        return cls(x, found.get("y"), f"{len(x)} samples of {Path(path).name}")


def _first(name: str, array: Any, samples: int) -> Any:
    if array.ndim == 0 or array.dtype.kind not in "biuf":
        raise ValueError(
            f"The array `{name}` of --data must hold samples of numbers along its first axis. "
            f"Received: shape {array.shape}, dtype {array.dtype}"
        )
    return array[:samples]


@dataclass
class Seen:
    """Holds one decorrelation of a model, as arrays.

    Attributes:
        state: Its `metrics.DecorrelationState`.
        M: `(n, n)`.
        correlations: `(n, n)` correlation `C` of its centred inputs, and that of its outputs; `None` if
            it was not called.
        spectra: `(n,)` eigenvalues of each of the two, or `None`.
    """

    state: Any
    M: Any
    correlations: Any = None
    spectra: Any = None


@dataclass
class Inspection:
    """Holds all that was measured of one model.

    Attributes:
        name: What to call it.
        seen: A `Seen` for each decorrelation.
        angles: A list of `analysis.LayerAlignment`.
        notes: Sentences on what is not there, and why.
        curves: `(seconds_per_epoch, test accuracies)` of its training, or `None`.
    """

    name: str
    seen: list = field(default_factory=list)
    angles: list = field(default_factory=list)
    notes: list = field(default_factory=list)
    curves: Any = None

    def forget_arrays(self) -> None:
        """Drops the arrays, which take hundreds of megabytes for wide layers, and keeps the figures."""
        for seen in self.seen:
            seen.M = seen.correlations = seen.spectra = None


def find(path: Any) -> tuple:
    """Finds the models of a path: a `.keras` file, the folder of a comparison, or of one of its runs.

    Args:
        path: The path.

    Returns:
        `(runs, config)`: `{name: (model file or None, table of epochs or None)}`, and the configuration
        of the comparison, empty for a file.

    Raises:
        FileNotFoundError: If there is nothing.
        ValueError: If the file or folder is of another kind.
    """
    path = Path(path)
    if path.is_file():
        if path.suffix != ".keras":
            raise ValueError(
                "A model must be a file that `model.save('name.keras')` wrote. "
                f"Received: {str(path)!r}"
            )
        return {path.stem: (path, None)}, {}
    if not path.is_dir():
        raise FileNotFoundError(
            "There is no such model or folder. Give a .keras file, or the folder that `keras-decorr "
            f"compare` wrote. Received: {str(path)!r}"
        )
    single = (path / "epochs.csv").exists()
    folders = [path] if single else sorted(p.parent for p in path.glob("runs/*/epochs.csv"))
    described = (path.parent.parent if single else path) / "config.json"
    if not folders or not described.exists():
        raise ValueError(
            "The folder holds no finished run: there must be config.json and runs/*/epochs.csv, as "
            f"`keras-decorr compare` writes them. Received: {str(path)!r}"
        )
    advice = f"Give the path of a .keras file in it. Received: {str(path)!r}"
    with explain_other_content("a comparison", advice):
        config = dict(json.loads(described.read_text())["config"])
    models = {
        f.name: (f / MODEL if (f / MODEL).exists() else None, f / "epochs.csv") for f in folders
    }
    return models, config


def load(path: Path) -> Any:
    """Loads the model of a file.

    Raises:
        ValueError: If Keras cannot load it.
    """
    try:
        with warnings.catch_warnings():
            # Kept without the state of the optimizer; nothing is trained here.
            warnings.filterwarnings("ignore", message="Skipping variable loading for optimizer")
            return keras.models.load_model(path)
    except Exception as error:
        raise ValueError(f"Keras cannot load {str(path)!r}: {error}") from error


def usual_report(path: Any) -> Any:
    """Returns the default path of the report: beside a model file, or in a folder."""
    path = Path(path)
    return path / "inspect.html" if path.is_dir() else path.with_suffix(".html")


def inspect_file(name: str, path: Path, table: Path, batch: Any, angles: bool = True) -> Any:
    """Returns the `Inspection` of a model's file and the table of its epochs; either may be `None`."""
    if path is None:
        found = Inspection(name)
        found.notes.append("No model was kept, as `compare` keeps those of the first seed alone.")
    else:
        found = inspect(name, load(path), batch, angles)
    found.curves = curves(table)
    return found


def curves(table: Path) -> tuple | None:
    """Returns `(seconds_per_epoch, test accuracies)` of a table of epochs, or `None` without them."""
    rows = read(table) if table else []
    if not rows or IMAGES.score not in rows[0]:
        return None
    seconds = [row["seconds"] for row in rows]
    later = seconds[1:] or seconds
    return float(np.median(later)), [row[IMAGES.score] for row in rows]


def inspect(name: str, model: Any, batch: Any, angles: bool = True) -> Any:
    """Measures a model.

    Args:
        name: What to call it.
        model: A Keras model.
        batch: The `Batch` to look at it with.
        angles: Measure natural-gradient angles, too.

    Returns:
        An `Inspection`.

    Raises:
        ValueError: If the model does not take the inputs, or has no such classes.
    """
    found = Inspection(name)
    _check_inputs(name, model, batch)
    if angles and model.compiled and batch.y is not None and len(batch.y):
        _check_labels(name, model, batch)
    if decorrelation_layers(model):
        for seen in metrics.sampled_inputs(model, batch.x):
            found.seen.append(Seen(state_of(seen), _matrix(seen.layer), *_correlations(seen)))
    else:
        found.notes.append(
            "It has no decorrelating layer, as the control of a comparison; "
            "`keras_decorr.decorrelate(model)` makes a copy of a model that has."
        )
    if angles:
        _measure_angles(found, model, batch)
    return found


def _measure_angles(found: Any, model: Any, batch: Any) -> None:
    if batch.y is None:
        found.notes.append("No natural-gradient angles: there are no targets `y`.")
        return
    if not model.compiled:
        found.notes.append("No natural-gradient angles: the model was saved without a loss.")
        return
    try:
        found.angles = natural_gradient_alignment(model, batch.x, batch.y)
    except ValueError as error:
        found.notes.append(f"No natural-gradient angles: {error}")


def _check_inputs(name: str, model: Any, batch: Any) -> None:
    shapes = [tuple(tensor.shape) for tensor in getattr(model, "inputs", None) or []]
    if len(shapes) != 1:
        return
    given = batch.x.shape
    fits = len(given) == len(shapes[0]) and all(
        want in (None, have) for want, have in zip(shapes[0][1:], given[1:], strict=True)
    )
    if not fits:
        raise ValueError(
            f"The model {name!r} takes inputs of shape {shapes[0]}. Choose another --dataset, or give "
            f"inputs of your own with --data. Received: {batch.source} of shape {given}"
        )


def _check_labels(name: str, model: Any, batch: Any) -> None:
    """Raises for labels outside the classes, an error on one backend and NaN on another."""
    loss, classes = model.loss, getattr(model, "output_shape", (None,))[-1]
    kind = loss if isinstance(loss, str) else getattr(loss, "__name__", type(loss).__name__)
    sparse = str(kind).replace("_", "").lower() == "sparsecategoricalcrossentropy"
    ignores = getattr(loss, "ignore_class", None) is not None
    if not sparse or ignores or not isinstance(classes, int):
        return
    lowest, highest = np.min(batch.y), np.max(batch.y)
    if lowest < 0 or highest >= classes:
        raise ValueError(
            f"The model {name!r} has the classes 0 to {classes - 1}. Give the labels of its own data. "
            f"Received: {batch.source} with labels from {lowest} to {highest}"
        )


def _matrix(layer: Any) -> Any:
    identity = ops.eye(layer.operator.n, dtype="float32")
    matrices = [ops.convert_to_tensor(M) for M in layer.matrices]
    return ops.convert_to_numpy(layer.operator.apply(matrices, identity)).T  # I M^T


def _correlations(seen: Any) -> tuple:
    if seen.centred is None:
        return None, None
    both, n = (seen.centred, seen.decorrelated), seen.layer.operator.n
    spectra = [metrics.correlation_eigenvalues(rows) for rows in both]
    spectra = [np.pad(values, (0, n - len(values))) for values in spectra]
    return [rows.T @ rows / len(rows) for rows in both], spectra


def shown(value: Any, digits: int = 3) -> str:
    """Returns a figure as text; a dash for none."""
    if isinstance(value, str):
        return value
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)
