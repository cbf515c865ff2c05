"""The command `keras-decorr` with all of its subcommands."""

from typing import Annotated

import typer

from keras_decorr.cli import shared
from keras_decorr.cli.compare.command import compare
from keras_decorr.cli.inspect.command import inspect
from keras_decorr.cli.reproduce.command import reproduce
from keras_decorr.cli.several import CommandWithLists
from keras_decorr.cli.tune.command import tune

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,
)
app.command(cls=CommandWithLists)(compare)
app.command()(inspect)
app.command(cls=CommandWithLists)(tune)
app.command()(reproduce)


@app.callback()
def main(
    debug: Annotated[
        bool, typer.Option("--debug", help="show the whole traceback of an error")
    ] = False,
) -> None:
    """Decorrelated layers for Keras (N. Ahmad, arXiv 2407.10780).

    Example: **keras-decorr compare --epochs 5**
    """
    shared.show_tracebacks = debug


if __name__ == "__main__":
    app()
