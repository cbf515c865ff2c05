"""Room on the disk: looked for before a long step, and its lack said clearly."""

import contextlib
import errno
import math
import shutil

import numpy as np

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_SPARE = 2**20  # bytes for all that is not weights


def check_room(model, folder):
    """Fail before an epoch whose weights could not be written, or before a file is half written.

    Raises:
        OSError: If the folder's disk has no room for the variables of a model and of its optimizer.
    """
    optimizer = () if model.optimizer is None else model.optimizer.variables
    variables = {id(v): v for v in (*model.variables, *optimizer)}.values()
    needed = sum(math.prod(v.shape) * np.dtype(str(v.dtype)).itemsize for v in variables)
    free = shutil.disk_usage(folder).free
    if free < needed + _SPARE:
        raise OSError(
            errno.ENOSPC,
            f"No space left on device: {free / 1e6:.0f} MB are free, {needed / 1e6:.0f} MB needed",
        )


@contextlib.contextmanager
def full_disk_told(out, goes_on):
    """Say of an error that there was no room to write, whatever library it comes from.

    Args:
        out: Folder that was written to.
        goes_on: What happens if the command is started again.

    Raises:
        OSError: In the place of such an error. Others pass.
    """
    try:
        yield
    except Exception as error:
        if not is_full(error):
            raise
        raise OSError(
            f"The results could not be written to {out}: {error}. Make room and start the command "
            f"again: {goes_on}."
        ) from error


def is_full(error):
    """Whether an error, or one that it came from, is that there was no room to write."""
    while error is not None:
        said = str(error)
        if getattr(error, "errno", None) in _FULL or any(f"errno = {n}," in said for n in _FULL):
            return True
        error = error.__cause__ or error.__context__
    return False
