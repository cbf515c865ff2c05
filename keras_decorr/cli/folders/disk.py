"""Errors of a full disk: known whichever library raises them, and said clearly."""

import contextlib
import errno

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def explain_full_disk(out, goes_on):
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
        if not is_disk_full(error):
            raise
        raise OSError(
            f"The results could not be written to {out}: {error}. Make room and start the command "
            f"again: {goes_on}."
        ) from error


def is_disk_full(error):
    """Whether an error, or one that it came from, is that there was no room to write."""
    while error is not None:
        said = str(error)
        if getattr(error, "errno", None) in _FULL or any(f"errno = {n}," in said for n in _FULL):
            return True
        error = error.__cause__ or error.__context__
    return False
