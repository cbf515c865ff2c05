"""The same net with and without decorrelation: what did it buy?"""

import importlib.metadata
import json
import os
import platform
import tempfile
from contextlib import nullcontext
from pathlib import Path

import keras

from keras_decorr import datasets
from keras_decorr.experiments import report
from keras_decorr.experiments.run import Run, train
from keras_decorr.plots import learning_curves

_PACKAGES = ("keras-decorr", "keras", "numpy", "tensorflow", "jax", "torch")


def compare(config, out, progress=None):
    """Train every variant of a comparison and write its results folder.

    A comparison that was stopped goes on where it was when it is started again with the same
    configuration and folder.

    Args:
        config: The `Config`.
        out: Folder for the results. It gets `config.json`, `summary.json`, `curves.png` and
            `runs/<run>/epochs.csv`.
        progress: A `Progress` to report to, or `None`.

    Returns:
        `(summary, results, rates)`: of `report.summarise`, its argument, and the learning rate of
        every variant.

    Raises:
        PermissionError: If the folder cannot be written to.
        ValueError: If it holds a comparison with another configuration.
    """
    out = prepare_folder(out, config)
    images = datasets.load(config.dataset, config.data_dir)
    rates = {v: config.learning_rate[0] for v in config.variants}
    with progress or nullcontext():

        def trained(run):
            callbacks = [] if progress is None else [progress.of(run, config, images)]
            return train(config, run, images, out, callbacks)

        if len(config.learning_rate) > 1:
            rates = _tuned(config, trained)
        results: dict[str, dict[int, list]] = {v: {} for v in config.variants}
        for seed in range(config.seeds):
            for variant in config.variants:  # in turn, so that a slow spell hits all of them
                run = Run(variant, rates[variant], seed, config.epochs)
                results[variant][seed] = trained(run)
    for checkpoint in out.glob("runs/*/checkpoint.weights.h5"):
        checkpoint.unlink()
    summary = report.summarise(results)
    _write(out / "summary.json", {"learning_rates": rates, "variants": summary})
    curves = {
        variant: (
            summary[variant]["seconds_per_epoch"][0],
            [report.column(rows, "test_accuracy") for rows in seeds.values()],
        )
        for variant, seeds in results.items()
    }
    learning_curves(curves, out / "curves.png", f"{config.dataset}, {config.net} net")
    return summary, results, rates


def _tuned(config, trained):
    """The learning rate of each variant with the best test accuracy, with the first seed."""
    best = {}
    for variant in config.variants:
        scores = {}
        for rate in config.learning_rate:
            rows = trained(Run(variant, rate, 0, min(config.tuning_epochs, config.epochs)))
            scores[rate] = max(report.column(rows, "test_accuracy"))
        best[variant] = max(scores, key=lambda rate: scores[rate])
    return best


def prepare_folder(out, config):
    """Make the results folder and write the configuration to it, or fail before any work."""
    out = Path(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise PermissionError(
            f"Option --out must be a folder that can be written to. Received: {str(out)!r} ({error})"
        ) from error
    path = out / "config.json"
    mine = json.loads(json.dumps(config.to_dict()))
    if path.exists():
        theirs = json.loads(path.read_text())["config"]
        changed = {
            key
            for key in mine.keys() | theirs.keys()
            if mine.get(key) != theirs.get(key) and key not in ("data_dir", "seeds")
        }
        if changed:
            raise ValueError(
                f"The folder holds a comparison with another {sorted(changed)}. Choose another "
                f"--out, or delete it. Received: --out {str(out)!r}"
            )
    _write(
        path,
        {
            "config": mine,
            "decorrelation_rates": {s: config.rate(s) for s in config.structure},
            "seeds": list(range(config.seeds)),
            "backend": keras.backend.backend(),
            "python": platform.python_version(),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "versions": _versions(),
        },
    )
    return out


def _versions():
    versions: dict[str, str | None] = {}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return versions


def _write(path, content):
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=2) + "\n")
    os.replace(partial, path)
