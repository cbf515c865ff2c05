"""Folders that can be written to, and the versions that made their numbers."""

from pathlib import Path

import keras
import pytest

from keras_decorr.cli.folders.folder import (
    check_versions,
    explain_other_content,
    prepare_file,
    versions,
    writable_folder,
)


def test_a_place_that_cannot_be_written_to_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(PermissionError, match=r"--out must be a folder .*Received: .*file"):
        writable_folder(tmp_path / "file" / "out")
    with pytest.raises(PermissionError, match=r"--out must be a file .*is a folder"):
        prepare_file(tmp_path)
    assert prepare_file(tmp_path / "new" / "report.html") == Path(tmp_path / "new" / "report.html")
    assert (tmp_path / "new").is_dir()


@pytest.mark.parametrize("error", [ValueError, KeyError, TypeError, AttributeError])
def test_what_cannot_be_read_is_something_else(error):
    with (
        pytest.raises(ValueError, match="something else than a search"),
        explain_other_content("a search", "Choose another."),
    ):
        raise error("in the middle")


def test_numbers_of_another_version_or_backend_are_refused():
    now = {"versions": versions(), "backend": keras.backend.backend()}
    check_versions(now, "")
    for name in ("keras", "keras-decorr", keras.backend.backend()):
        with pytest.raises(ValueError, match=f"runs of {name} 0.0.1, and this is {name} .*another"):
            check_versions({**now, "versions": {**versions(), name: "0.0.1"}}, "Choose another.")
    with pytest.raises(ValueError, match="runs of backend mxnet"):
        check_versions({**now, "backend": "mxnet"}, "")
    with pytest.raises(KeyError):
        check_versions({"versions": {}, "backend": now["backend"]}, "")
