"""Locks of a folder: one holder, and what happens when it is gone."""

import json
import os
import subprocess
import sys
import threading

import pytest

from keras_decorr.cli.folders.lock import Lock, LostLockError, delete_locks, held_by_others


def files(folder):
    return sorted(path.name for path in folder.glob("lock-*"))


def leave(folder, number=1, age=0.0, **holder):
    """The file of a holder that is not this process."""
    path = folder / f"lock-{number}"
    path.write_text(json.dumps({"machine": "another", "pid": 1, **holder}))
    time = path.stat().st_mtime - age
    os.utime(path, (time, time))


def test_one_holds_it_and_then_the_next(tmp_path):
    with Lock(tmp_path) as first:
        assert first.held
        first.check()
        with Lock(tmp_path) as second:
            assert not second.held
        assert held_by_others(tmp_path)
    assert not held_by_others(tmp_path)
    with Lock(tmp_path) as third:
        assert third.held
        assert files(tmp_path) == ["lock-2"]
    delete_locks(tmp_path)
    assert files(tmp_path) == []


def test_of_many_at_once_one_gets_it(tmp_path):
    leave(tmp_path, age=1000)  # stale: all of them want to take it over
    start, got = threading.Barrier(16), []

    def take():
        lock = Lock(tmp_path)
        start.wait()
        got.append(lock.__enter__().held)

    threads = [threading.Thread(target=take) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(got) == 1


def test_a_holder_on_another_machine_is_gone_when_it_is_silent(tmp_path):
    leave(tmp_path, age=100)
    with Lock(tmp_path, stale=120) as lock:
        assert not lock.held
    with Lock(tmp_path, stale=90) as lock:
        assert lock.held


def test_a_killed_process_of_this_machine_is_gone_at_once(tmp_path):
    code = (
        "import os, sys; from keras_decorr.cli.folders.lock import Lock;"
        "Lock(sys.argv[1]).__enter__(); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert done.returncode == -9
    assert files(tmp_path) == ["lock-1"]
    with Lock(tmp_path) as lock:
        assert lock.held


def test_the_holder_shows_that_it_lives(tmp_path):
    with Lock(tmp_path, heartbeat=0.01):
        path = tmp_path / "lock-1"
        os.utime(path, (1000, 1000))
        for _ in range(500):
            if path.stat().st_mtime > 1000:
                break
            threading.Event().wait(0.01)
        assert path.stat().st_mtime > 1000


def test_who_slept_too_long_is_told(tmp_path):
    with Lock(tmp_path) as slept:
        leave(tmp_path, number=2)
        with pytest.raises(LostLockError, match=str(tmp_path)):
            slept.check()
    assert held_by_others(tmp_path)  # it did not release what is not its own
