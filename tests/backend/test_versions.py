"""The versions of Keras and KerasTuner that are admitted."""

import configparser
import importlib
import importlib.metadata
import re
from pathlib import Path

import keras
import pytest

import keras_decorr
from keras_decorr.backend.versions import BOUNDS, check_version


@pytest.mark.parametrize(
    ("package", "version"),
    [
        ("keras", "3.15.0"),
        ("keras", "3.16.2"),
        ("keras", "3.16.0.dev2026102704"),
        ("keras", "3.16.0rc0"),
        ("keras-tuner", "1.4.8"),
        ("keras-tuner", "1.4.10"),
    ],
)
def test_versions_within_the_bounds_are_admitted(package, version):
    check_version(package, version)


@pytest.mark.parametrize(
    ("package", "version"),
    [
        ("keras", "2.15.0"),
        ("keras", "3.9.2"),
        ("keras", "3.14.1"),
        ("keras", "3.17.0"),
        ("keras", "3.17.0.dev2027010101"),
        ("keras", "4.0"),
        ("keras-tuner", "1.4.7"),
        ("keras-tuner", "1.5.0rc0"),
    ],
)
def test_versions_out_of_the_bounds_are_refused(package, version):
    with pytest.raises(ImportError, match=re.escape(f"; {version} is installed.")):
        check_version(package, version)


def test_another_keras_is_refused_in_one_sentence_at_the_import(monkeypatch):
    monkeypatch.setattr(keras, "__version__", "3.17.1")
    with pytest.raises(ImportError) as error:
        importlib.reload(keras_decorr)
    assert str(error.value) == (
        "keras_decorr uses private parts of keras, so it needs keras>=3.15,<3.17; "
        "3.17.1 is installed."
    )


def test_another_keras_tuner_is_refused_at_the_first_use_of_the_tuning(monkeypatch):
    versions = {"keras-tuner": "1.5.0"}
    monkeypatch.setattr(importlib.metadata, "version", versions.get)
    with pytest.raises(
        ImportError, match=r"needs keras-tuner>=1\.4\.8,<1\.5; 1\.5\.0 is installed"
    ):
        keras_decorr.tuning.make_tuner  # noqa: B018


def test_the_bounds_are_those_of_the_installation():
    setup = Path(__file__).parents[2] / "setup.cfg"
    parser = configparser.ConfigParser()
    parser.read(setup)
    lines = parser["options"]["install_requires"] + parser["options.extras_require"]["tuner"]
    for package, (low, high) in BOUNDS.items():
        assert f"\n{package}>={low},<{high}\n" in f"{lines}\n"
