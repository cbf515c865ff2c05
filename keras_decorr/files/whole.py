"""Write files whole or not at all, so that a process that is killed leaves no half of one."""

import contextlib
import json
import os
import uuid


def write_json(path, content):
    """Write a JSON file, whole or not at all."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def write_text(path, text):
    """Write a file, whole or not at all, whoever else is writing it."""
    with written_whole(path, uuid.uuid4().hex) as partial:
        partial.write_text(text)


@contextlib.contextmanager
def written_whole(path, mark="partial"):
    """A path to write a file to, which is there at the end, whole, or not at all.

    Args:
        path: `pathlib.Path` of the file. What is written to has its suffixes.
        mark: Text that makes the name of the unfinished file unique, where others may write it, too.
    """
    partial = path.with_name(f".{mark}-{path.name}")
    try:
        yield partial
        os.replace(partial, path)
    finally:  # on a full disk, leave nothing behind
        partial.unlink(missing_ok=True)
