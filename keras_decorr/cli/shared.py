"""What the subcommands share: the console, errors in a line, and the choice of the backend."""

import os
import sys
from contextlib import contextmanager

import keras
import typer
from rich.console import Console
from rich.text import Text

console = Console()
error_console = Console(stderr=True)
show_tracebacks = False  # set by `keras-decorr --debug`

BACKENDS = ("tensorflow", "jax", "torch")


@contextmanager
def errors_in_a_line():
    """Show an error of the user's (a bad argument, a missing file) in a line on stderr; exit with 2."""
    try:
        yield
    except (ValueError, TypeError, OSError, ImportError) as error:
        if show_tracebacks:
            raise
        line = Text.assemble((type(error).__name__, "red"), ": ", " ".join(str(error).split()))
        error_console.print(line, soft_wrap=True)
        raise typer.Exit(2) from error


def one_of(names):
    """What the help of an option says of its choices."""
    *most, last = names
    return f"{', '.join(most)} or {last}"


def different(values):
    """The values of an option that may be repeated, each once."""
    return tuple(dict.fromkeys(values or ()))


def usual_batch_size(dataset):
    """Samples a batch where none are asked for."""
    return 64 if dataset == "digits" else 256


def use_backend(backend):
    """Start again with another Keras backend, which cannot change once Keras is imported."""
    if backend is None or backend == keras.backend.backend():
        return
    if backend not in BACKENDS:
        with errors_in_a_line():
            raise ValueError(f"Option --backend must be {one_of(BACKENDS)}. Received: {backend!r}")
    environment = {**os.environ, "KERAS_BACKEND": backend}
    command = [sys.executable, "-m", "keras_decorr.cli.main", *sys.argv[1:]]
    sys.stdout.flush()
    os.execve(sys.executable, command, environment)
