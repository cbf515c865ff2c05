"""A stack of open objects per thread."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Scope(threading.local):
    """A stack of open objects.

    Each replica of a `tf.distribute` strategy traces in a thread of its own, so each has its own.
    """

    def __init__(self) -> None:
        self._stack: list = []

    @property
    def current(self) -> Any:
        """The object opened last, or `None`."""
        return self._stack[-1] if self._stack else None

    @contextmanager
    def open(self, thing: Any) -> Iterator[Any]:
        """Makes an object the current one for the code inside."""
        self._stack.append(thing)
        try:
            yield thing
        finally:
            self._stack.pop()
