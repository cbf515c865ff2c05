"""Files that are written whole or not at all, even by a process that is killed."""

import contextlib
import csv
import errno
import json
import math
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_decorr.typing import FilePath

_SPARE = 2**20  # bytes for all that is not weights


def write_json(path: Path, content: Any) -> None:
    """Writes a JSON file, whole or not at all."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """Writes a text file, whole or not at all."""
    with atomic_write(path) as partial:
        partial.write_text(text)


def write_csv(path: Path, rows: Iterable[dict], names: Sequence[str]) -> None:
    """Writes dictionaries as a CSV table with certain columns, whole or not at all."""
    with atomic_write(path) as partial, partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, names, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Gives a path to write a file to, which becomes `path` at the end, whole, or not at all.

    Any number of processes may write the same file. Nothing is left behind after an error.

    Args:
        path: `pathlib.Path` of the file. The path that is given has its suffixes.
    """
    partial = path.with_name(f".{uuid.uuid4().hex}-{path.name}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def check_room(model: keras.Model, folder: FilePath) -> None:
    """Raises before a model whose weights there is no room for is trained or saved.

    Raises:
        OSError: If the folder's disk has no room for the variables of a model and of its optimizer.
    """
    optimizer = () if model.optimizer is None else model.optimizer.variables
    variables = {id(v): v for v in (*model.variables, *optimizer)}.values()
    needed = sum(math.prod(v.shape) * np.dtype(str(v.dtype)).itemsize for v in variables)
    free = shutil.disk_usage(folder).free
    if free < needed + _SPARE:
        raise OSError(
            errno.ENOSPC,
            f"No space left on device: {free / 1e6:.0f} MB are free, {needed / 1e6:.0f} MB needed",
        )
