"""Errors of a full disk are known, whoever says them."""

import errno

import pytest

from keras_decorr.cli.folders.disk import explain_full_disk
from tests.processes import file_size_limit


def test_whoever_says_it(tmp_path):
    def by_python():
        with (tmp_path / "text").open("w") as file, file_size_limit(50_000):
            file.write("x" * 100_000)
            file.flush()

    def by_h5py():  # what it says; after that it may crash
        raise RuntimeError("Unable to flush file (errno = 28, error message = 'No space left')")

    for write in (by_python, by_h5py):
        said = pytest.raises(OSError, match=r"to here: .*room.*again: so\.$")
        with said, explain_full_disk("here", "so"):
            write()


def test_other_errors_pass():
    for error in (OSError(errno.EACCES, "no"), ValueError("errno of 28"), RuntimeError("28")):
        with pytest.raises(type(error)) as caught, explain_full_disk("here", "so"):
            raise error
        assert caught.value is error
