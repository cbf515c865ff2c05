"""Errors of a full disk, whichever library raises them."""

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def explain_full_disk(out: Path, resumes: Any) -> Iterator[Any]:
    """Replaces the errors of a full disk by one that says how to resume.

    Args:
        out: Folder that was written to.
        resumes: What happens if the command is started again.

    Raises:
        OSError: Instead of such an error. Other errors pass.
    """
    try:
        yield
    except Exception as error:
        if not is_disk_full(error):
            raise
        raise OSError(
            f"The results could not be written to {out}: {error}. Make room and start the command "
            f"again: {resumes}."
        ) from error


def is_disk_full(error: Any) -> bool:
    """Returns whether an error, or one that caused it, is that of a full disk."""
    while error is not None:
        said = str(error)
        if getattr(error, "errno", None) in _FULL or any(f"errno = {n}," in said for n in _FULL):
            return True
        error = error.__cause__ or error.__context__
    return False
