"""A file is there whole or not at all."""

import pytest

from keras_decorr.files.whole import written_whole


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "table.csv"
    with written_whole(path) as partial:
        partial.write_text("old")
        assert partial.suffix == path.suffix  # Keras and matplotlib go by it
    with pytest.raises(OSError, match="full"), written_whole(path) as partial:
        partial.write_text("ne")
        raise OSError("the disk is full")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
