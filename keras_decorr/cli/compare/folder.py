"""The folder of a comparison: its configuration, and whether another one may resume it."""

import json
import os
import platform
from pathlib import Path
from typing import Any

import keras

from keras_decorr.cli.folders.folder import explain_other_content, versions, writable_folder
from keras_decorr.cli.net_config import upgraded

_MAY_DIFFER = ("data_dir", "seeds", "structure", "batch_normalization")
_RATES = {"learning_rate": "learning_rates", "decorrelation_rate": "decorrelation_rates"}


def check_folder(out: Path, config: Any) -> tuple:
    """Makes the results folder and checks that this configuration may use it.

    A comparison in it may get more seeds and more structures of M. The description of the comparison is
    returned, not written: a command that is refused must not leave its options in the folder.

    Returns:
        `(path, content)` of the JSON file to write once all else is checked.

    Raises:
        PermissionError: If the folder cannot be written to.
        ValueError: If it holds a comparison with another configuration, or something else.
    """
    out = writable_folder(out)
    path = out / "config.json"
    mine = json.loads(json.dumps(_description(config)))
    advice = f"Choose another --out, or delete it. Received: --out {str(out)!r}"
    if path.exists():
        with explain_other_content("a comparison", advice):
            theirs = json.loads(path.read_text())
            theirs["config"] = upgraded(theirs["config"])
            changed = _differences(mine, theirs)
        if changed:
            raise ValueError(f"The folder holds a comparison with another {changed}. {advice}")
        for key in _RATES.values():  # those of nets that are left out this time
            mine[key] = {**theirs[key], **mine[key]}
    return path, mine


def _description(config: Any) -> dict:
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


def _differences(mine: dict, theirs: dict) -> list:
    """Returns the options that differ. Rates differ by their values, given or default."""
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
