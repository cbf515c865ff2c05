"""Checks of the folders and files that commands write, and of the versions that wrote them."""

import contextlib
import importlib.metadata
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

_PACKAGES = ("keras-decorr", "numpy", "tensorflow", "jax", "torch")
# What a run's numbers depend on, beside the backend; other packages are written down, but may differ.
_NUMBERS_OF = ("keras-decorr", "keras")


@contextlib.contextmanager
def explain_other_content(kind: str, advice: str) -> Iterator[Any]:
    """Explains errors in the content of a folder: it is not of the kind that was expected.

    Args:
        kind: What it should hold.
        advice: What to do, and what was received.

    Raises:
        ValueError: If what is read is no JSON, or other JSON.
    """
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"The folder holds something else than {kind}. {advice}") from error


def writable_folder(out: Any) -> Any:
    """Makes a folder for results.

    Raises:
        PermissionError: If it cannot be written to.
    """
    out = Path(out)
    try:
        _try_to_write(out)
    except OSError as error:
        raise PermissionError(
            f"Option --out must be a folder that can be written to. Received: {str(out)!r} ({error})"
        ) from error
    return out


def prepare_file(out: Any) -> Any:
    """Makes the folder of a file that is to be written, and returns its path.

    Raises:
        PermissionError: If it cannot be written.
    """
    out = Path(out)
    try:
        if out.is_dir():
            raise IsADirectoryError(f"{str(out)!r} is a folder")
        _try_to_write(out.parent)
    except OSError as error:
        raise PermissionError(
            f"Option --out must be a file that can be written. Received: {str(out)!r} ({error})"
        ) from error
    return out


def _try_to_write(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


def check_versions(theirs: dict, advice: str) -> None:
    """Raises for a folder whose numbers another version or another backend made.

    Args:
        theirs: The description in the folder, with `backend` and `versions`.
        advice: What to do, and what was received.

    Raises:
        KeyError: If it does not say so.
        ValueError: If they are others.
    """
    backend = keras.backend.backend()
    now = {**versions(), "backend": backend}
    saved = {**theirs["versions"], "backend": theirs["backend"]}
    for name in ("backend", *_NUMBERS_OF, backend):
        then, today = saved[name], now[name]
        if then != today:
            raise ValueError(
                f"The folder holds runs of {name} {then}, and this is {name} {today}. {advice}"
            )


def versions() -> Any:
    """Returns the versions of the packages that decide a result; `None` for a missing one."""
    # Not by the package, which has another name for a nightly build.
    found: dict[str, str | None] = {"keras": keras.__version__}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found
