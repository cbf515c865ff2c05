"""What is open while a training step runs, one stack a thread."""

import threading
from contextlib import contextmanager


class Scope(threading.local):
    """A stack of open objects.

    Each replica of a `tf.distribute` strategy traces in a thread of its own, so each has its own.
    """

    def __init__(self):
        self._stack = []

    @property
    def current(self):
        """The object opened last, or `None`."""
        return self._stack[-1] if self._stack else None

    @contextmanager
    def open(self, thing):
        """Make an object the current one for the code inside."""
        self._stack.append(thing)
        try:
            yield thing
        finally:
            self._stack.pop()
