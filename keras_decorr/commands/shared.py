"""What the subcommands share: the console, errors in a line, and the choice of the backend."""

import os
import sys
from contextlib import contextmanager

import keras
import typer
from rich.console import Console

console = Console()
show_tracebacks = False  # set by `keras-decorr --debug`

BACKENDS = ("tensorflow", "jax", "torch")


@contextmanager
def errors_in_a_line():
    """Show an error of the user's (a bad argument, a missing file) in a line, and exit with 2."""
    try:
        yield
    except (ValueError, TypeError, OSError, ImportError) as error:
        if show_tracebacks:
            raise
        console.print(f"[red]{type(error).__name__}[/red]:", end=" ")
        console.print(str(error), highlight=False, markup=False)
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
        console.print(f"Option --backend must be tensorflow, jax or torch. Received: {backend!r}")
        raise typer.Exit(2)
    environment = {**os.environ, "KERAS_BACKEND": backend}
    command = [sys.executable, "-m", "keras_decorr.commands.main", *sys.argv[1:]]
    sys.stdout.flush()
    os.execve(sys.executable, command, environment)
