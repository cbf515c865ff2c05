"""Every source file has a test file of the same path."""

from pathlib import Path

import pytest

import keras_decorr

SOURCE, TESTS = Path(keras_decorr.__file__).parent, Path(__file__).parent
# Files with nothing that could fail by itself.
EXCEPTIONS = {"typing.py"}
SOURCES = {
    path.relative_to(SOURCE).as_posix()
    for path in SOURCE.rglob("*.py")
    if path.name != "__init__.py"
}


@pytest.mark.parametrize("source", sorted(SOURCES - EXCEPTIONS))
def test_a_source_file_has_a_test_file(source):
    test = (TESTS / source).with_name(f"test_{Path(source).name}")
    assert test.is_file(), f"write {test.relative_to(TESTS.parent)}"
    assert "def test_" in test.read_text()


def test_no_exception_is_left_over():
    assert EXCEPTIONS <= SOURCES
