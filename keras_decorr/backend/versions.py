"""The versions of Keras and KerasTuner whose private names this package knows."""

import re

# `low <= version < high`, the same as in setup.cfg; a test compares them.
BOUNDS = {"keras": ("3.15", "3.17"), "keras-tuner": ("1.4.8", "1.5")}


def check_version(package: str, version: str) -> None:
    """Raises unless the version of a package is within its bounds.

    A pre-release counts as the release that it leads to, so `3.16.0.dev2026102704` as 3.16.0.

    Args:
        package: `"keras"` or `"keras-tuner"`.
        version: Its version.

    Raises:
        ImportError: If it is not; the message names the versions that are.
    """
    low, high = BOUNDS[package]
    if not _numbers(low) <= _numbers(version) < _numbers(high):
        raise ImportError(
            f"keras_decorr uses private parts of {package}, so it needs {package}>={low},<{high}; "
            f"{version} is installed."
        )


def _numbers(version: str) -> tuple[int, ...]:
    """The release numbers at the start of a version, as a tuple."""
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(number) for number in found[0].split(".")) if found else ()
