"""Files written whole or not at all, and room for them."""

import json
import shutil

import keras
import pytest

from keras_decorr.cli.folders.disk import is_disk_full
from keras_decorr.files import atomic_write, check_room, write_csv, write_json


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
        assert is_disk_full(caught.value)


def test_a_table_has_the_columns_that_are_asked_for(tmp_path):
    write_csv(tmp_path / "a.csv", [{"a": 1, "b": "x,y", "c": 0}], ["b", "a"])
    assert (tmp_path / "a.csv").read_text() == 'b,a\n"x,y",1\n'
    write_csv(tmp_path / "a.csv", [], ["a"])
    assert (tmp_path / "a.csv").read_text() == "a\n"
