"""`keras-decorr compare`: the same net with and without decorrelation."""

from typing import Annotated

import typer

from keras_decorr import datasets
from keras_decorr.cli import options
from keras_decorr.cli.shared import (
    console,
    different,
    errors_in_a_line,
    one_of,
    use_backend,
    usual_batch_size,
)
from keras_decorr.decorrelators import DECORRELATORS, Decorrelator
from keras_decorr.decorrelators.decorrelator import STRUCTURE
from keras_decorr.decorrelators.preserving import GAIN_RATE, NORMS
from keras_decorr.extras import check_installed


def compare(
    dataset: options.Dataset = "digits",
    data_dir: options.DataDir = None,
    net: options.Net = "dense",
    width: options.Width = None,
    rule: Annotated[
        list[str] | None,
        typer.Option(
            help="backprop, feedback_alignment, direct_feedback_alignment or node_perturbation; "
            "give several to compare them"
        ),
    ] = None,
    epochs: Annotated[int, typer.Option(help="epochs of training")] = 10,
    batch_size: options.BatchSize = None,
    learning_rate: Annotated[
        list[float] | None,
        typer.Option(
            help="Adam's rate; give several to tune it for every net; default: by net and rule"
        ),
    ] = None,
    tuning_epochs: Annotated[int, typer.Option(help="epochs for each rate to tune")] = 5,
    decorrelation_rate: Annotated[
        list[float] | None,
        typer.Option(
            help="rate of M per step; give several to tune it, too; default: by net and structure"
        ),
    ] = None,
    decorrelator: Annotated[
        list[str] | None,
        typer.Option(help=f"{one_of(DECORRELATORS)}; give several to compare them"),
    ] = None,
    structure: Annotated[
        list[str] | None,
        typer.Option(help=f"{one_of(Decorrelator.structures)}; give several to compare them"),
    ] = None,
    preserve: options.Preserve = NORMS[0],
    gain_rate: options.GainRate = GAIN_RATE,
    groups: options.Groups = 32,
    rank: options.Rank = None,
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
    augment: options.Augment = True,
    seeds: Annotated[int, typer.Option(help="number of seeds")] = 1,
    train_size: options.TrainSize = None,
    test_size: options.TestSize = None,
    backend: options.Backend = None,
    out: options.Out = "",
):
    """Train the same net with and without decorrelation, and show what it bought.

    An option that may be given several times takes several values, too: --rule backprop
    feedback_alignment.

    Examples:

    **keras-decorr compare --dataset cifar10 --net conv --structure full monarch --seeds 3**

    **keras-decorr compare --rule backprop feedback_alignment --epochs 5**
    """
    use_backend(backend)
    from keras_decorr.cli.compare.comparison import compare as run
    from keras_decorr.cli.compare.config import Config
    from keras_decorr.cli.compare.display import Progress, tables

    out = out or f"results/{dataset}-{net}"
    with errors_in_a_line():
        config = Config(
            dataset=dataset,
            data_dir=data_dir,
            net=net,
            width=width,
            rule=different(rule or ["backprop"]),
            epochs=epochs,
            batch_size=usual_batch_size(dataset) if batch_size is None else batch_size,
            learning_rate=different(learning_rate),
            tuning_epochs=tuning_epochs,
            decorrelator=different(decorrelator or ["norm_preserving"]),
            decorrelation_rate=different(decorrelation_rate),
            structure=different(structure or [STRUCTURE]),
            preserve=preserve,
            gain_rate=gain_rate,
            groups=groups,
            rank=rank,
            max_samples=max_samples,
            initializer=initializer,
            batch_normalization=batch_normalization,
            augment=augment,
            seeds=seeds,
            train_size=train_size,
            test_size=test_size,
        )
        needed = {"data": datasets.packages(dataset), "plots": ("matplotlib",)}
        check_installed("keras-decorr compare", **needed)
        summary, results, rates = run(config, out, Progress(console))
    for table in tables(summary, results, rates):
        console.print(table)
    console.print(f"Results, curves and configuration: {out}")
