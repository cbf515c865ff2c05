"""Every source file has a test file of the same path."""

from pathlib import Path

import pytest

import keras_decorr

SOURCE, TESTS = Path(keras_decorr.__file__).parent, Path(__file__).parent
# Packages whose tests are not split yet. None may be added.
PENDING = {"backend", "cli", "context", "decorrelators", "layers", "maths", "tuning"}
PENDING_FILES = {"training/model.py"}
# Files with nothing that could fail by itself.
EXCEPTIONS = {"typing.py"}
SOURCES = {
    path.relative_to(SOURCE).as_posix()
    for path in SOURCE.rglob("*.py")
    if path.name != "__init__.py"
}


def is_pending(source):
    return source in PENDING_FILES or source.split("/")[0] in PENDING


@pytest.mark.parametrize(
    "source", [source for source in sorted(SOURCES - EXCEPTIONS) if not is_pending(source)]
)
def test_a_source_file_has_a_test_file(source):
    test = (TESTS / source).with_name(f"test_{Path(source).name}")
    assert test.is_file(), f"write {test.relative_to(TESTS.parent)}"
    assert "def test_" in test.read_text()


def test_no_exception_is_left_over():
    assert EXCEPTIONS | PENDING_FILES <= SOURCES
    assert {source.split("/")[0] for source in SOURCES} >= PENDING
