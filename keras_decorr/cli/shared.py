"""The console, errors in a line, and the choice of the backend, for all commands."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import typer
from rich.console import Console
from rich.text import Text

from keras_decorr.cli.allowed import OneOf, check_option

console = Console()
error_console = Console(stderr=True)
show_tracebacks = False  # set by `keras-decorr --debug`

BACKENDS = ("tensorflow", "jax", "torch")


@contextmanager
def errors_in_a_line() -> Iterator[Any]:
    """Shows an error of the user's, such as a bad option, in a line on stderr, and exits with 2."""
    try:
        yield
    except (ValueError, TypeError, OSError, ImportError) as error:
        if show_tracebacks:
            raise
        line = Text.assemble((type(error).__name__, "red"), ": ", " ".join(str(error).split()))
        error_console.print(line, soft_wrap=True)
        raise typer.Exit(2) from error


def use_backend(backend: str | None) -> None:
    """Starts the process again with another Keras backend, which is fixed once Keras is imported."""
    if backend is None or backend == keras.backend.backend():
        return
    with errors_in_a_line():
        check_option("--backend", backend, OneOf(BACKENDS))
    environment = {**os.environ, "KERAS_BACKEND": backend}
    command = [sys.executable, "-m", "keras_decorr.cli.main", *sys.argv[1:]]
    sys.stdout.flush()
    os.execve(sys.executable, command, environment)
