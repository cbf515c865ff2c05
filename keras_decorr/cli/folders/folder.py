"""The folder of a comparison: what it holds is written whole or not at all, and is of one kind."""

import contextlib
import importlib.metadata
import json
import os
import platform
import tempfile
from pathlib import Path

import keras

_PACKAGES = ("keras-decorr", "keras", "numpy", "tensorflow", "jax", "torch")
# What a run's numbers depend on, beside the backend; other packages are written down, but may differ.
_NUMBERS_OF = ("keras-decorr", "keras")
_MAY_DIFFER = ("data_dir", "seeds", "structure", "batch_normalization")
_RATES = {"learning_rate": "learning_rates", "decorrelation_rate": "decorrelation_rates"}


def checked_folder(out, config):
    """Make the results folder, or fail before any work. What it says of itself is not written yet.

    A comparison that is there may get more seeds and more structures of M.

    Returns:
        `(path, content)` of the JSON file that is to be written once all else is checked: a command
        that is refused is not to leave its options behind.

    Raises:
        PermissionError: If the folder cannot be written to.
        ValueError: If it holds a comparison with another configuration, or something else.
    """
    out = writable_folder(out)
    path = out / "config.json"
    mine = json.loads(json.dumps(_description(config)))
    advice = f"Choose another --out, or delete it. Received: --out {str(out)!r}"
    if path.exists():
        with held("a comparison", advice):
            theirs = _of_now(json.loads(path.read_text()))
            changed = _differences(mine, theirs)
        if changed:
            raise ValueError(f"The folder holds a comparison with another {changed}. {advice}")
        for key in _RATES.values():  # those of nets that are left out this time
            mine[key] = {**theirs[key], **mine[key]}
    return path, mine


@contextlib.contextmanager
def held(kind, advice):
    """Say that a folder holds something else, where what is read of it is not of a kind.

    Args:
        kind: What it should hold.
        advice: What to do, and what was received.

    Raises:
        ValueError: If what is read is no JSON, or other JSON.
    """
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"The folder holds something else than {kind}. {advice}") from error


def writable_folder(out):
    """Make a folder for results.

    Raises:
        PermissionError: If it cannot be written to.
    """
    out = Path(out)
    try:
        _try_to_write(out)
    except OSError as error:
        raise PermissionError(
            f"Option --out must be a folder that can be written to. Received: {str(out)!r} ({error})"
        ) from error
    return out


def prepare_file(out):
    """The path of a file to write, its folder made, or fail before any work.

    Raises:
        PermissionError: If it cannot be written.
    """
    out = Path(out)
    try:
        if out.is_dir():
            raise IsADirectoryError(f"{str(out)!r} is a folder")
        _try_to_write(out.parent)
    except OSError as error:
        raise PermissionError(
            f"Option --out must be a file that can be written. Received: {str(out)!r} ({error})"
        ) from error
    return out


def _try_to_write(folder):
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


def check_versions(theirs, advice):
    """Refuse a folder whose numbers another version made, or another backend.

    Args:
        theirs: What the folder says: `backend` and `versions`.
        advice: What to do, and what was received.

    Raises:
        KeyError: If it does not say so.
        ValueError: If they are others.
    """
    backend = keras.backend.backend()
    now = {**versions(), "backend": backend}
    saved = {**theirs["versions"], "backend": theirs["backend"]}
    for name in ("backend", *_NUMBERS_OF, backend):
        then, today = saved[name], now[name]
        if then != today:
            raise ValueError(
                f"The folder holds runs of {name} {then}, and this is {name} {today}. {advice}"
            )


def _description(config):
    rates = {net: config.rates(net) for net in config.nets}
    return {
        "config": config.to_dict(),
        "learning_rates": {
            n.name: list(dict.fromkeys(r.learning for r in rates[n])) for n in rates
        },
        "decorrelation_rates": {
            n.name: list(dict.fromkeys(r.decorrelation for r in rates[n]))
            for n in rates
            if n.variant in config.decorrelations
        },
        "seeds": list(range(config.seeds)),
        "backend": keras.backend.backend(),
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": versions(),
    }


def _of_now(saved):
    """The description that a folder holds, as it would be written today."""
    later = {"initializer": "", "width": None, "rank": None, "train_size": None, "test_size": None}
    gain = {"preserve": "raw", "gain_rate": 1.0}  # the only one there was
    config = {**later, **gain, **saved["config"]}
    if isinstance(config["decorrelator"], str):
        config["decorrelator"] = [config["decorrelator"]]
    if "rule" in config:
        return {**saved, "config": config}
    # Before there were rules: one decorrelation rate for each structure, the same learning rates for
    # every net, and no other rule than backpropagation.
    structures = {s: [rate] for s, rate in saved["decorrelation_rates"].items()}
    nets = ("plain", "batch_normalization", *structures)
    return {
        **saved,
        "config": {**config, "rule": ["backprop"]},
        "learning_rates": {net: config["learning_rate"] for net in nets},
        "decorrelation_rates": structures,
    }


def _differences(mine, theirs):
    """The options that differ. Of the rates it matters which they are, not who chose them."""
    # The runs of a net go by its structure where there is one decorrelator.
    fixed = () if len(theirs["config"]["decorrelator"]) == 1 else ("structure",)
    may_differ = {*_MAY_DIFFER, *_RATES}.difference(fixed)
    changed = {
        option
        for option in mine["config"].keys() | theirs["config"].keys()
        if option not in may_differ and mine["config"].get(option) != theirs["config"].get(option)
    }
    for option, key in _RATES.items():
        if any(theirs[key].get(net, values) != values for net, values in mine[key].items()):
            changed.add(option)
    return sorted(changed)


def versions():
    """The versions of the packages that decide a result; `None` for one that is not installed."""
    found: dict[str, str | None] = {}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found
