"""Errors of a full disk are known, whoever says them."""

import errno
import shutil

import keras
import pytest

from keras_decorr.files.disk import check_room, full_disk_told, is_full
from tests.processes import file_size_limit


def test_room_for_the_weights(tmp_path, monkeypatch):
    model = keras.Sequential([keras.Input((1000,)), keras.layers.Dense(1000)])
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    check_room(model, tmp_path)
    needed = 3 * 1001 * 1000 * 4  # Adam keeps two more
    for free, enough in ((needed + 2**20 + 100, True), (needed + 2**20 - 100, False)):
        usage = shutil.disk_usage(tmp_path)._replace(free=free)
        monkeypatch.setattr(shutil, "disk_usage", lambda path, usage=usage: usage)
        if enough:
            check_room(model, tmp_path)
            continue
        with pytest.raises(OSError, match="13 MB are free, 12 MB needed") as caught:
            check_room(model, tmp_path)
        assert is_full(caught.value)


def test_whoever_says_it(tmp_path):
    def by_python():
        with (tmp_path / "text").open("w") as file, file_size_limit(50_000):
            file.write("x" * 100_000)
            file.flush()

    def by_h5py():  # what it says; after that it may crash
        raise RuntimeError("Unable to flush file (errno = 28, error message = 'No space left')")

    for write in (by_python, by_h5py):
        said = pytest.raises(OSError, match=r"to here: .*room.*again: so\.$")
        with said, full_disk_told("here", "so"):
            write()


def test_other_errors_pass():
    for error in (OSError(errno.EACCES, "no"), ValueError("errno of 28"), RuntimeError("28")):
        with pytest.raises(type(error)) as caught, full_disk_told("here", "so"):
            raise error
        assert caught.value is error
