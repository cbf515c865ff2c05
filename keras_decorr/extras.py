"""Packages that only parts of keras_decorr need: the extras of setup.cfg, asked for before any work."""

import importlib.metadata
import importlib.util
from collections.abc import Sequence

from keras_decorr.backend.versions import BOUNDS, check_version

# Where pip knows a module by another name.
_PACKAGES = {
    "importlib_resources": "importlib-resources",
    "keras_tuner": "keras-tuner",
    "sklearn": "scikit-learn",
    "tensorflow_datasets": "tensorflow-datasets",
}


def check_installed(owner: str, **extras: Sequence[str]) -> None:
    """Raise unless the modules of some extras can be imported, in a known version; none of them is.

    Args:
        owner: Who needs them, for the message.
        **extras: For each extra the modules that are needed of it: `plots=("matplotlib",)`.

    Raises:
        ImportError: If one is missing, or of an unknown version; the message says what to install.
    """
    missing = {
        extra: [name for name in modules if importlib.util.find_spec(name) is None]
        for extra, modules in extras.items()
    }
    lacking = [extra for extra, names in missing.items() if names]
    if lacking:
        packages = dict.fromkeys(_PACKAGES.get(n, n) for names in missing.values() for n in names)
        raise ImportError(
            f'{owner} needs more packages: pip install "keras-decorr[{",".join(lacking)}]". '
            f"Missing: {', '.join(packages)}"
        )
    for package in (_PACKAGES.get(n, n) for modules in extras.values() for n in modules):
        if package in BOUNDS:
            check_version(package, importlib.metadata.version(package))
