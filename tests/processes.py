"""Code that needs a process of its own, and limits of this one."""

import contextlib
import os
import resource
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def run_on_tensorflow(code):
    """Run Python code on TensorFlow in a fresh process, as before virtual devices can be made.

    One that a signal has ended is run once more: seldom, a thread of TensorFlow crashes.
    """
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT,
            env={**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"},
        )  # fmt: skip
        if done.returncode >= 0:
            break
    return done


@contextlib.contextmanager
def file_size_limit(size):
    """No file of this process may grow beyond so many bytes: as if the disk were full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
