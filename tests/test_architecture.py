"""The picture and the page of the architecture show the packages and layers that setup.cfg checks."""

import configparser
import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text()


@pytest.fixture(scope="module")
def architecture():
    """The script that draws the picture, as a module."""
    path = ROOT / "docs" / "architecture.py"
    spec = importlib.util.spec_from_file_location("architecture", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def checked():
    """The layers that `lint-imports` checks."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    rows = config["importlinter:contract:direction"]["layers"].split("\n")
    return [re.split(r" *\| *", row) for row in rows if row]


def test_the_picture_is_what_the_script_draws(architecture):
    assert architecture.PICTURE.read_text() == architecture.picture()


def test_the_picture_and_the_page_have_the_layers_that_are_checked(architecture, checked):
    assert [list(row) for row in architecture.LAYERS] == checked
    assert re.findall(r"^\| `(\w+)` \|", PAGE, re.M) == [name for row in checked for name in row]


def test_the_files_that_the_page_names_exist():
    found = re.findall(r"`(\w+/[\w/]*(?:\.py)?)`", PAGE)
    assert len(found) > 10
    assert not [path for path in found if not (ROOT / "keras_decorr" / path).exists()]
