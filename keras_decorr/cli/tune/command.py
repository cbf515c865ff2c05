"""`keras-decorr tune`: the search over the forward rate and the decorrelation rate."""

from typing import Annotated

import typer

from keras_decorr import datasets, tuning
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


def tune(
    dataset: options.Dataset = "digits",
    data_dir: options.DataDir = None,
    net: options.Net = "dense",
    width: options.Width = None,
    tuner: Annotated[str, typer.Option(help="random, bayesian, hyperband or grid")] = "bayesian",
    trials: Annotated[
        int | None,
        typer.Option(help="most trials; default: 20, all of a grid; hyperband decides for itself"),
    ] = None,
    epochs: Annotated[int, typer.Option(help="epochs of a trial; of hyperband's longest")] = 5,
    batch_size: options.BatchSize = None,
    learning_rates: Annotated[
        tuple[float, float] | None,
        typer.Option(
            help="lowest and highest forward rate; the net's default is searched, too; without them: "
            "a tenth of that to ten times that"
        ),
    ] = None,
    decorrelation_rates: Annotated[
        tuple[float, float] | None,
        typer.Option(
            help="lowest and highest rate of M; 0 and the net's default are searched, too; without "
            "them: in the same way"
        ),
    ] = None,
    per_decade: Annotated[
        int, typer.Option(help="rates in a factor of ten: 1, 2 (1, 3, 10) or 3 (1, 2, 5, 10)")
    ] = 2,
    rule: Annotated[
        list[str] | None, typer.Option(help="learning rule; give several to search them, too")
    ] = None,
    optimizer: Annotated[
        list[str] | None,
        typer.Option(help="adam, adamw, nadam, rmsprop, sgd or lion; several to search them"),
    ] = None,
    decorrelator: Annotated[str, typer.Option(help=one_of(DECORRELATORS))] = "norm_preserving",
    structure: Annotated[
        list[str] | None,
        typer.Option(help=f"{one_of(Decorrelator.structures)}; several to search them"),
    ] = None,
    preserve: options.Preserve = NORMS[0],
    gain_rate: options.GainRate = GAIN_RATE,
    groups: options.Groups = 32,
    rank: options.Rank = None,
    max_samples: Annotated[
        list[int] | None,
        typer.Option(help="rows or patches per update; several to search them"),
    ] = None,
    initializer: Annotated[
        str, typer.Option(help="glorot_uniform or fan_in_uniform; default: as in compare")
    ] = "",
    augment: options.Augment = True,
    validation: Annotated[
        float, typer.Option(help="share of the training images to tune on, in (0, 0.9]")
    ] = 0.1,
    train_size: options.TrainSize = None,
    seed: Annotated[int, typer.Option(help="of the proposals, the weights and the batches")] = 0,
    workers: Annotated[int, typer.Option(help="processes that run trials at the same time")] = 1,
    backend: options.Backend = None,
    out: options.Out = "",
):
    """Search the forward rate and the decorrelation rate of a net together.

    Trials are scored by the accuracy on a part of the training images that is held out of training;
    the test images are not used. The first trial has the net's default rates, the second these without
    decorrelation. They are searched whatever the ranges: where these do not hold them, a grid has a row
    and a column more. A trial that diverges is ended and counts as failed. A search that was stopped or
    killed goes on when the same command is given again; the trial that was running begins anew.

    With `--workers` several processes of this machine run trials. For several machines start the same
    command, without it, once as the chief and once for each worker, with KerasTuner's variables:
    KERASTUNER_TUNER_ID (chief, worker0, worker1, ...), KERASTUNER_ORACLE_IP (the chief's address) and
    KERASTUNER_ORACLE_PORT (a free port of its). The chief trains nothing and writes the results. The
    folder `--out` of hyperband must be one that all of them share. The chief waits for a worker that is
    gone: start that again under its name, and it takes its trial up from the start. The connection is
    not encrypted: use it inside a network you trust.

    Examples:

    **keras-decorr tune --dataset cifar10 --net dense --trials 12 --epochs 2**

    **keras-decorr tune --tuner grid --per-decade 1 --structure full monarch --workers 2**
    """
    use_backend(backend)
    out = out or f"results/tune-{dataset}-{net}"
    with errors_in_a_line():
        from keras_decorr.cli.tune.config import TuningConfig
        from keras_decorr.cli.tune.display import Display, comparison, verdict
        from keras_decorr.decorrelators.arguments import check_count

        check_count("tune", "--workers", workers)
        config = TuningConfig(
            dataset=dataset,
            data_dir=data_dir,
            net=net,
            width=width,
            tuner=tuner,
            trials=20 if trials is None and tuner in ("random", "bayesian") else trials,
            epochs=epochs,
            batch_size=usual_batch_size(dataset) if batch_size is None else batch_size,
            learning_rates=learning_rates,
            decorrelation_rates=decorrelation_rates,
            per_decade=per_decade,
            rule=different(rule or ["backprop"]),
            optimizer=different(optimizer or ["adam"]),
            decorrelator=decorrelator,
            structure=different(structure or [STRUCTURE]),
            preserve=preserve,
            gain_rate=gain_rate,
            groups=groups,
            rank=rank,
            max_samples=different(max_samples),
            initializer=initializer,
            augment=augment,
            validation=validation,
            train_size=train_size,
            seed=seed,
        )
        needed = {"tuner": tuning.PACKAGES, "plots": ("matplotlib",)}
        check_installed("keras-decorr tune", data=datasets.packages(dataset), **needed)
        from keras_decorr.cli.tune.search import search  # which imports KerasTuner

        found = search(config, out, Display(console, config.trials), workers)
    if found is None:
        return  # a worker: its chief has the results
    summary, _rows = found
    console.print(comparison(summary))
    console.print(verdict(summary))
    console.print(f"Trials, best rates and heat map: {out}")
