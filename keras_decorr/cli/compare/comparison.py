"""Trains every net of a comparison and writes its results."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from keras_decorr.cli.compare import report
from keras_decorr.cli.compare.figure import draw
from keras_decorr.cli.compare.folder import check_folder
from keras_decorr.cli.compare.run import Run, delete_checkpoints, load_data, train
from keras_decorr.cli.folders.disk import explain_full_disk
from keras_decorr.files import write_json


def compare(config: Any, out: Any, progress: Any = None) -> tuple:
    """Trains every net of a comparison and writes its results folder.

    A comparison that was stopped resumes when it is started again with the same configuration and
    folder.

    Args:
        config: The `Config`.
        out: Folder for the results. It gets `config.json`, `summary.json`, `curves.png` and
            `runs/<run>/epochs.csv`, with the first seed also `runs/<run>/model.keras`.
        progress: A `Progress` to report to, or `None`.

    Returns:
        `(summary, results, rates)`: of `report.summarise`, its argument, and the `Rates` of every
        `Net`.

    Raises:
        OSError: If the folder cannot be written to, at the start or, on a full disk, later on. What is
            done stays done.
        ValueError: If it holds a comparison with another configuration.
    """
    out, description = Path(out), check_folder(out, config)
    data = load_data(config)
    write_json(*description)
    resumes = "it resumes after the last whole epoch of the current run"
    with progress or nullcontext(), explain_full_disk(out, resumes):

        def trained(*of: Any) -> Any:
            run = Run.of(config, *of)
            callbacks = [] if progress is None else [progress.of(run, config, data)]
            kept = run.seed == 0 and run.epochs == config.epochs
            return train(config, run, data, out, callbacks, keep_model=kept)

        rates = {net: _tuned(config, net, trained) for net in config.nets}
        results: dict = {net: {} for net in config.nets}
        for seed in range(config.seeds):
            for net in config.nets:  # in turn, so that a slow spell hits all of them
                results[net][seed] = trained(net, rates[net], seed, config.epochs)
    for folder in out.glob("runs/*"):
        delete_checkpoints(folder)
    summary = report.summarise(results, config.task)
    write_json(out / "summary.json", _readable(summary, rates))
    draw(summary, results, out / "curves.png", _title(config), config.task)
    return summary, results, rates


def _tuned(config: Any, net: Any, trained: Callable) -> Any:
    """Returns the rates with which a net reaches the best score, with the first seed."""
    choices = config.rates(net)
    if len(choices) == 1:
        return choices[0]
    epochs = min(config.tuning_epochs, config.epochs)
    task = config.task
    scores = {
        rates: task.best(report.column(trained(net, rates, 0, epochs), task.score))
        for rates in choices
    }
    best = task.best(scores.values())
    return next((rates for rates in choices if scores[rates] == best), choices[0])


def _title(config: Any) -> str:
    trained = [] if config.optimizer == "adam" else [config.optimizer]
    trained += [] if config.schedule == "constant" else [config.schedule]
    return ", ".join([config.dataset, f"{config.net} net", *trained])


def _readable(summary: dict, rates: dict) -> dict[str, Any]:
    decorrelated = {net for net in rates if rates[net].decorrelation is not None}
    return {
        "reference": report.reference(summary).name,
        "learning_rates": {net.name: rates[net].learning for net in rates},
        "decorrelation_rates": {n.name: rates[n].decorrelation for n in rates if n in decorrelated},
        "variants": report.by_name(summary),
    }
