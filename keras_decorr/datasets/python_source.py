"""Reads the source code of Python's standard library as a text, which needs no network."""

import sysconfig
from pathlib import Path

from keras_decorr.datasets.text import Text

_MOST = 4_000_000  # characters


def python_source() -> Text:
    """Reads the modules of Python's standard library that are single files, in alphabetical order.

    The text holds at most 4 million characters, of ASCII alone. The first 90 % are for training, 5 %
    for validation and the last 5 % for testing. It depends on the version of Python.

    Returns:
        A `Text`.

    Raises:
        FileNotFoundError: If this installation of Python has no source files.
    """
    folder = Path(sysconfig.get_path("stdlib"))
    modules = sorted(folder.glob("*.py"))
    text = "".join(path.read_text("ascii", "ignore") for path in modules)[:_MOST]
    if not text:
        raise FileNotFoundError(
            "The data set 'python_source' needs the source files of Python's standard library, which "
            f"this installation has not. Looked in: {str(folder)!r}"
        )
    ends = len(text) * 90 // 100, len(text) * 95 // 100
    return Text.of("python_source", text[: ends[0]], text[ends[0] : ends[1]], text[ends[1] :])
