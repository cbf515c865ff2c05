"""The examples of the docstrings and the code of README.md run; the commands of the docs exist."""

import dataclasses
import doctest
import importlib
import pkgutil
import re
import shlex
from pathlib import Path

import pytest
import typer

import keras_decorr
from keras_decorr.cli.compare.config import Config
from keras_decorr.cli.main import app
from keras_decorr.cli.reproduce.grid import read_grid
from keras_decorr.cli.tune.config import TuningConfig

README = Path(__file__).parents[1] / "README.md"
DOCS = [README, *sorted((README.parent / "docs").glob("*.md"))]
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
    """`(name, object)` of what the packages of keras_decorr export; `backend` is for them alone."""
    public = [name for name in modules() if not name.startswith("keras_decorr.backend")]
    for package in [keras_decorr, *map(importlib.import_module, public)]:
        for name in getattr(package, "__all__", ()):
            value = getattr(package, name)
            if callable(value) and (value.__module__ or "").startswith("keras_decorr"):
                yield f"{package.__name__}.{name}", value


def test_every_public_name_has_an_example():
    without = [name for name, value in public_names() if ">>>" not in (value.__doc__ or "")]
    assert not without


def test_the_code_of_the_readme(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    import tensorflow as tf

    digits = keras_decorr.datasets.load("digits").first(64, 64)
    monkeypatch.setattr(keras_decorr.datasets, "load", {"digits": digits}.__getitem__)
    blocks = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.M | re.S)
    assert len(blocks) >= 4
    names: dict = {}
    tf.config.run_functions_eagerly(True)  # to trace the steps takes longer than so few of them
    try:
        for block in blocks:  # each goes on where the one before ended
            exec(compile(block, str(README), "exec"), names)
    finally:
        tf.config.run_functions_eagerly(False)
    assert len(blocks[0].strip().splitlines()) <= 15


def test_the_code_of_the_guide(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    guide = README.parent / "docs" / "guide.md"
    blocks = re.findall(r"^```python\n(.*?)^```", guide.read_text(), re.M | re.S)
    assert len(blocks) >= 5
    names: dict = {}
    for block in blocks:
        exec(compile(block, str(guide), "exec"), names)


def commands(text):
    """The commands `keras-decorr` in Markdown: indented lines, and code within a line."""
    text = text.replace("\\\n", " ")
    indented = re.findall(r"^ {4}(?:\w+=\S+ )*(keras-decorr .*)$", text, re.M)
    return [*indented, *re.findall(r"`(keras-decorr [^`]*)`", " ".join(text.split()))]


def check_command(line):
    """Raise unless a command would run: as to its options, their values and how they go together."""
    _, name, *words = shlex.split(line, comments=True)
    command = typer.main.get_command(app).commands[name]
    context = command.make_context(name, [word for word in words if word != "--help"])
    given = {
        option: tuple(value) if isinstance(value, list) else value
        for option, value in context.params.items()
        if context.get_parameter_source(option).name == "COMMANDLINE"
    }
    if name == "reproduce":
        read_grid(context.params["grid"], context.params["scale"])
    elif name in ("compare", "tune"):
        config = Config if name == "compare" else TuningConfig
        fields = {field.name for field in dataclasses.fields(config)}
        config(**{option: value for option, value in given.items() if option in fields})


def test_the_commands_of_the_docs_have_these_options():
    found = [(path.name, line) for path in DOCS for line in commands(path.read_text())]
    assert len(found) > 10
    stale = {}
    for name, line in found:
        try:
            check_command(line)
        except Exception as error:
            stale[f"{name}: {line}"] = str(error)
    assert not stale


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("keras-decorr compare --rates 1e-4", "--rates"),
        ("keras-decorr compare --seeds few", "valid integer"),
        ("keras-decorr compare --structure full diagonal", "diagonal"),
        ("keras-decorr compare --batch-normalization --rule node_perturbation", "does not go with"),
        ("keras-decorr tune --tuner annealing", "annealing"),
        ("keras-decorr reproduce --scale tiny", "tiny"),
    ],
)
def test_a_stale_command_is_seen(line, said):
    with pytest.raises(Exception, match=said):
        check_command(line)
