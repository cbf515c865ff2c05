"""Locks by files, for processes on any machines that share nothing but a folder.

A lock is taken by creating its file, which one process alone can do (`O_EXCL`, on network file systems,
too). A process that is killed cannot take its file away. So the holder of a lock touches its file every
few seconds, and a file that was not touched for long belongs to nobody. A stale file is not deleted,
or two who found it stale might each delete the other's new one: the lock goes to who creates the file
with the next number.
"""

import json
import os
import socket
import tempfile
import threading
import uuid
from pathlib import Path
from typing import Any, Self

HEARTBEAT = 10.0  # seconds between two touches
STALE = 120.0  # seconds after which an untouched file is nobody's


class LostLockError(Exception):
    """Says that another process took the lock, because this one slept for too long."""


class Lock:
    """Gives the right to work in a folder to at most one process.

    Args:
        folder: Folder to be locked. It gets files `lock-1`, `lock-2`, ...
        heartbeat: Seconds between two signs of life.
        stale: Seconds without one after which another process may take the lock. Clocks of different
            machines are not compared: both times are those of the file system. Of a holder on the same
            machine it is known at once that it is gone.

    Example:

    >>> import tempfile
    >>> from keras_decorr.cli.folders.lock import Lock
    >>> folder = tempfile.mkdtemp()
    >>> with Lock(folder) as mine:
    ...     with Lock(folder) as again:
    ...         print(mine.held, again.held)
    True False
    """

    def __init__(self, folder: Path, heartbeat: float = HEARTBEAT, stale: float = STALE) -> None:
        self.folder, self.heartbeat, self.stale = Path(folder), heartbeat, stale
        self.number, self.held, self._released = 0, False, threading.Event()

    def __enter__(self) -> Self:
        """Takes the lock if it is free; `held` says whether it was."""
        self.folder.mkdir(parents=True, exist_ok=True)
        newest = _newest(self.folder)
        if newest and self._alive(_path(self.folder, newest)):
            return self
        try:
            with _path(self.folder, newest + 1).open("x") as file:
                json.dump(_who(), file)
        except FileExistsError:
            return self
        self.number, self.held = newest + 1, True
        for number in range(newest, 0, -1):
            _path(self.folder, number).unlink(missing_ok=True)
        self._beating = threading.Thread(target=self._beat, daemon=True)
        self._beating.start()
        return self

    def __exit__(self, *error: Any) -> None:
        """Releases the lock."""
        if self.held:
            self._released.set()
            self._beating.join()  # or a last beat could come after the release
            self.held = False
            path = _path(self.folder, self.number)
            if path.exists():
                os.utime(path, (0, 0))

    @property
    def lost(self) -> bool:
        """Whether another process has taken the lock, or this one does not hold it."""
        return not self.held or _newest(self.folder) != self.number

    def check(self) -> None:
        """Raises `LostLockError` if another process has taken the lock."""
        if self.lost:
            raise LostLockError(f"Another process has taken over {self.folder}.")

    def _beat(self) -> None:
        path = _path(self.folder, self.number)
        while not self._released.wait(self.heartbeat):
            try:
                os.utime(path)
            except FileNotFoundError:  # the next one took it
                return
            except OSError:  # a hiccup of the file system: the next beat may come through
                continue

    def _alive(self, path: Path) -> Any:
        try:
            touched = path.stat().st_mtime
            holder = json.loads(path.read_text() or "{}")  # empty: it is just being written
        except (FileNotFoundError, json.JSONDecodeError):
            return True
        if touched == 0 or (holder.get("machine") == _machine() and not _runs(holder["pid"])):
            return False
        return _now(self.folder) - touched < self.stale


def held_by_others(folder: Path, stale: float = STALE) -> Any:
    """Returns whether a process holds the lock of a folder."""
    folder = Path(folder)
    newest = _newest(folder)
    return bool(newest) and Lock(folder, stale=stale)._alive(_path(folder, newest))


def delete_locks(folder: Path) -> None:
    """Deletes the files of a lock that no process needs any more."""
    for path in Path(folder).glob("lock-*"):
        path.unlink(missing_ok=True)


def _path(folder: Path, number: int) -> Path:
    return folder / f"lock-{number}"


def _newest(folder: Path) -> Any:
    """Returns the highest number of a file of the lock, 0 if there is none."""
    return max((int(path.name.removeprefix("lock-")) for path in folder.glob("lock-*")), default=0)


def _who() -> dict[str, object]:
    return {"machine": _machine(), "pid": os.getpid(), "id": uuid.uuid4().hex}


def _machine() -> str:
    """Returns the scope of process numbers: a host, or a container on it."""
    try:
        space = os.readlink("/proc/self/ns/pid")
        space += Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        space = ""
    return f"{socket.gethostname()} {space}"


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is another user's
        return True
    return True


def _now(folder: Path) -> Any:
    """Returns the time of the file system, that of a new file."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".clock-") as file:
        return os.stat(file.name).st_mtime
