"""The command `keras-decorr`."""

import os
import sys
from typing import Annotated

import keras
import typer
from rich.console import Console

app = typer.Typer(add_completion=False, no_args_is_help=True)
console = Console()


@app.callback()
def main():
    """Decorrelated layers for Keras (N. Ahmad, arXiv 2407.10780)."""


@app.command()
def compare(
    dataset: Annotated[str, typer.Option(help="digits, mnist, cifar10 or cifar100")] = "digits",
    data_dir: Annotated[str | None, typer.Option(help="folder of tensorflow-datasets")] = None,
    net: Annotated[str, typer.Option(help="dense or conv")] = "dense",
    epochs: Annotated[int, typer.Option(help="epochs of training")] = 10,
    batch_size: Annotated[int, typer.Option(help="samples a batch")] = 0,
    learning_rate: Annotated[
        list[float] | None,
        typer.Option(help="Adam's rate; give several to tune it for every net"),
    ] = None,
    tuning_epochs: Annotated[int, typer.Option(help="epochs for each rate to tune")] = 5,
    decorrelation_rate: Annotated[
        float | None, typer.Option(help="rate of M per step; default: known to do well")
    ] = None,
    decorrelator: Annotated[
        str, typer.Option(help="norm_preserving or decorrelated_backprop")
    ] = "norm_preserving",
    structure: Annotated[
        list[str] | None,
        typer.Option(help="full, block_diagonal or monarch; give several to compare them"),
    ] = None,
    groups: Annotated[int, typer.Option(help="groups of a structured M")] = 16,
    max_samples: Annotated[
        int | None, typer.Option(help="rows or patches per update; default: the decorrelator's")
    ] = None,
    batch_normalization: Annotated[
        bool, typer.Option(help="compare with BatchNormalization, too")
    ] = False,
    augment: Annotated[bool, typer.Option(help="random crops and flips (CIFAR)")] = True,
    seeds: Annotated[int, typer.Option(help="number of seeds")] = 1,
    backend: Annotated[str | None, typer.Option(help="tensorflow, jax or torch")] = None,
    out: Annotated[str, typer.Option(help="folder for the results")] = "",
):
    """Train the same net with and without decorrelation, and show what it bought."""
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
            epochs=epochs,
            batch_size=batch_size or (64 if small else 256),
            learning_rate=tuple(learning_rate or (1e-3 if net == "conv" else 1e-4,)),
            tuning_epochs=tuning_epochs,
            decorrelator=decorrelator,
            decorrelation_rate=decorrelation_rate,
            structure=tuple(structure or ("monarch",)),
            groups=groups,
            max_samples=max_samples,
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
