"""The documentation builds without a warning, every public name and tutorial in it."""

import os
import re
import subprocess
import sys

import pytest

import keras_decorr
from tests.tutorials.test_tutorials import ROOT, TUTORIALS, imported


@pytest.mark.tutorial
def test_the_site_builds(tmp_path, pytestconfig):
    imported("sphinx", pytestconfig)
    off = ["-D", "nb_execution_mode=off"]  # the tutorials run in a test of their own
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "-q", *off, "-c", "docs", ".", str(tmp_path)],
        capture_output=True, text=True, check=False, cwd=ROOT,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    described = (tmp_path / "docs" / "api.html").read_text()
    for name in keras_decorr.__all__:
        module = getattr(keras_decorr, name)
        for public in getattr(module, "__all__", ()):
            if callable(getattr(module, public)):
                assert f'id="keras_decorr.{name}.{public}"' in described, f"{name}.{public}"
    front = (tmp_path / "README.html").read_text()
    for path in TUTORIALS:
        assert re.search(rf'href="tutorials/{path.stem}\.html"', front), path
