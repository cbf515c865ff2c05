"""`keras-decorr tune`: the search over the forward rate and the decorrelation rate."""

from typing import Annotated

import typer

from keras_decorr import datasets, tuning
from keras_decorr.cli import options
from keras_decorr.cli.allowed import Count, check_option
from keras_decorr.cli.shared import console
from keras_decorr.cli.tune.config import TuningConfig
from keras_decorr.extras import check_installed


@options.takes(TuningConfig)
def tune(
    config: TuningConfig,
    workers: Annotated[int, typer.Option(help="processes that run trials at the same time")] = 1,
    out: options.Out = "",
) -> None:
    """Search the forward rate and the decorrelation rate of a net together.

    Trials are scored on a part of what is for training that is held out: by the accuracy, of language
    models by the loss. The data for testing are not used. The first trial has the net's default rates,
    the second these without decorrelation. They are searched whatever the ranges: where these do not
    hold them, a grid has a row and a column more. A trial that diverges is ended and counts as failed.
    A search that was stopped or killed resumes when the same command is given again; the trial that was
    running begins anew.

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
    check_option("--workers", workers, Count())
    needed = {"tuner": tuning.PACKAGES, "plots": ("matplotlib",)}
    check_installed("keras-decorr tune", data=datasets.packages(config.dataset), **needed)
    from keras_decorr.cli.tune.display import Display, comparison, verdict
    from keras_decorr.cli.tune.search import search  # which imports KerasTuner

    out = out or f"results/tune-{config.dataset}-{config.net}"
    found = search(config, out, Display(console, config.trials, config.task), workers)
    if found is None:
        return  # a worker: its chief has the results
    summary, _rows = found
    console.print(comparison(summary, config.task))
    console.print(verdict(summary, config.task))
    console.print(f"Trials, best rates and heat map: {out}")
