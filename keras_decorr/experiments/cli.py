"""The command `keras-decorr`."""

import os
import sys
from typing import Annotated

import keras
import typer
from rich.console import Console

from keras_decorr.experiments.several import CommandWithLists

app = typer.Typer(add_completion=False, no_args_is_help=True)
console = Console()


@app.callback()
def main():
    """Decorrelated layers for Keras (N. Ahmad, arXiv 2407.10780)."""


@app.command(cls=CommandWithLists)
def compare(
    dataset: Annotated[str, typer.Option(help="digits, mnist, cifar10 or cifar100")] = "digits",
    data_dir: Annotated[str | None, typer.Option(help="folder of tensorflow-datasets")] = None,
    net: Annotated[str, typer.Option(help="dense, conv, resnet18 or vit")] = "dense",
    width: Annotated[
        int | None, typer.Option(help="channels or features of resnet18 or vit; default: its own")
    ] = None,
    rule: Annotated[
        list[str] | None,
        typer.Option(
            help="backprop, feedback_alignment, direct_feedback_alignment or node_perturbation; "
            "give several to compare them"
        ),
    ] = None,
    epochs: Annotated[int, typer.Option(help="epochs of training")] = 10,
    batch_size: Annotated[int, typer.Option(help="samples a batch")] = 0,
    learning_rate: Annotated[
        list[float] | None,
        typer.Option(
            help="Adam's rate; give several to tune it for every net; default: the rule's own"
        ),
    ] = None,
    tuning_epochs: Annotated[int, typer.Option(help="epochs for each rate to tune")] = 5,
    decorrelation_rate: Annotated[
        list[float] | None,
        typer.Option(
            help="rate of M per step; give several to tune it, too; default: known to do well"
        ),
    ] = None,
    decorrelator: Annotated[
        str, typer.Option(help="norm_preserving or decorrelated_backprop")
    ] = "norm_preserving",
    structure: Annotated[
        list[str] | None,
        typer.Option(
            help="full, block_diagonal, monarch, low_rank, channel or auto; give several to "
            "compare them"
        ),
    ] = None,
    groups: Annotated[int, typer.Option(help="the most groups of a structured M")] = 32,
    rank: Annotated[
        int | None, typer.Option(help="rank of a low-rank M; default: the decorrelator's")
    ] = None,
    max_samples: Annotated[
        int | None, typer.Option(help="rows or patches per update; default: the decorrelator's")
    ] = None,
    initializer: Annotated[
        str,
        typer.Option(
            help="glorot_uniform or fan_in_uniform (the paper's); default: the first, or the second "
            "with rules other than backprop"
        ),
    ] = "",
    batch_normalization: Annotated[
        bool, typer.Option(help="compare with BatchNormalization, too")
    ] = False,
    augment: Annotated[bool, typer.Option(help="random crops and flips (CIFAR)")] = True,
    seeds: Annotated[int, typer.Option(help="number of seeds")] = 1,
    backend: Annotated[str | None, typer.Option(help="tensorflow, jax or torch")] = None,
    out: Annotated[str, typer.Option(help="folder for the results")] = "",
):
    """Train the same net with and without decorrelation, and show what it bought.

    An option that may be given several times takes several values, too: --rule backprop
    feedback_alignment.
    """
    _use_backend(backend)
    from keras_decorr.experiments.compare import compare as run
    from keras_decorr.experiments.config import Config
    from keras_decorr.experiments.display import Progress, tables

    small = dataset == "digits"
    out = out or f"results/{dataset}-{net}"
    try:
        config = Config(
            dataset=dataset,
            data_dir=data_dir,
            net=net,
            width=width,
            rule=_different(rule or ["backprop"]),
            epochs=epochs,
            batch_size=batch_size or (64 if small else 256),
            learning_rate=_different(learning_rate),
            tuning_epochs=tuning_epochs,
            decorrelator=decorrelator,
            decorrelation_rate=_different(decorrelation_rate),
            structure=_different(structure or ["monarch"]),
            groups=groups,
            rank=rank,
            max_samples=max_samples,
            initializer=initializer,
            batch_normalization=batch_normalization,
            augment=augment,
            seeds=seeds,
        )
        summary, results, rates = run(config, out, Progress(console))
    except (ValueError, OSError) as error:
        console.print(f"[red]{type(error).__name__}[/red]: {error}", highlight=False)
        raise typer.Exit(2) from error
    for table in tables(summary, results, rates):
        console.print(table)
    console.print(f"Results, curves and configuration: {out}")


def _different(values):
    return tuple(dict.fromkeys(values or ()))


def _use_backend(backend):
    """Start again with another Keras backend, which cannot change once Keras is imported."""
    if backend is None or backend == keras.backend.backend():
        return
    if backend not in ("tensorflow", "jax", "torch"):
        console.print(f"Option --backend must be tensorflow, jax or torch. Received: {backend!r}")
        raise typer.Exit(2)
    environment = {**os.environ, "KERAS_BACKEND": backend}
    command = [sys.executable, "-m", "keras_decorr.experiments.cli", *sys.argv[1:]]
    sys.stdout.flush()
    os.execve(sys.executable, command, environment)


if __name__ == "__main__":
    app()
