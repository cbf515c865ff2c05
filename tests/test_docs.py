"""Every example runs: those of the docstrings, and the Python code of README.md."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import keras_decorr

README = Path(__file__).parents[1] / "README.md"
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

pytestmark = pytest.mark.usefixtures("tensorflow_only")


def modules():
    found = pkgutil.walk_packages(keras_decorr.__path__, "keras_decorr.")
    return sorted(module.name for module in found)


def test_examples_of_the_docstrings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    finder, failed, attempted = doctest.DocTestFinder(exclude_empty=True), [], 0
    for name in modules():
        for test in finder.find(importlib.import_module(name), name):
            if test.name.startswith(name) and test.examples:
                said: list[str] = []
                result = doctest.DocTestRunner(optionflags=FLAGS).run(test, out=said.append)
                attempted += result.attempted
                if result.failed:
                    failed.append("".join(said))
    assert attempted > 100
    assert not failed, "\n".join(failed)


def public_names():
    """`(name, object)` of what the packages of keras_decorr give out."""
    for package in [keras_decorr, *map(importlib.import_module, modules())]:
        for name in getattr(package, "__all__", ()):
            value = getattr(package, name)
            if callable(value) and (value.__module__ or "").startswith("keras_decorr"):
                yield f"{package.__name__}.{name}", value


def test_every_public_name_has_an_example():
    without = [name for name, value in public_names() if ">>>" not in (value.__doc__ or "")]
    assert not without


def test_the_code_of_the_readme(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    digits = keras_decorr.datasets.load("digits").first(256, 128)
    monkeypatch.setattr(keras_decorr.datasets, "load", {"digits": digits}.__getitem__)
    blocks = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.M | re.S)
    assert len(blocks) >= 4
    names: dict = {}
    for block in blocks:  # each goes on where the one before ended
        exec(compile(block, str(README), "exec"), names)
    assert len(blocks[0].strip().splitlines()) <= 15
