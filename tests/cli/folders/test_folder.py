"""Files written whole, folders that can be written to, and the versions that made their numbers."""

import json
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
from keras_decorr.files import atomic_write, write_json


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "table.csv"
    with atomic_write(path) as partial:
        partial.write_text("old")
        assert partial.suffix == path.suffix  # Keras and matplotlib go by it
    with pytest.raises(OSError, match="full"), atomic_write(path) as partial:
        partial.write_text("ne")
        raise OSError("the disk is full")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_json_is_read_back(tmp_path):
    write_json(tmp_path / "a.json", {"rates": [1e-3, None]})
    assert json.loads((tmp_path / "a.json").read_text()) == {"rates": [1e-3, None]}


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
