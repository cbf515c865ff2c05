"""The documentation builds without a warning, every public name and tutorial in it."""

import re

import pytest

from tests.processes import run_on_tensorflow
from tests.test_docs import public_names
from tests.tutorials.test_tutorials import TUTORIALS, imported


@pytest.mark.tutorial
def test_the_site_builds(tmp_path, pytestconfig):
    imported("sphinx", pytestconfig)
    off = ["-D", "nb_execution_mode=off"]  # the tutorials run in a test of their own
    arguments = ["-W", "-q", *off, "-c", "docs", ".", str(tmp_path)]
    done = run_on_tensorflow(f"import sphinx.cmd.build as b; raise SystemExit(b.main({arguments}))")
    assert done.returncode == 0, done.stderr[-3000:]
    described = (tmp_path / "docs" / "api.html").read_text()
    names = list(public_names())  # some have two
    shown = {value for name, value in names if f'id="{name}"' in described}
    assert not [name for name, value in names if value not in shown]
    front = (tmp_path / "README.html").read_text()
    for path in TUTORIALS:
        assert re.search(rf'href="tutorials/{path.stem}\.html"', front), path
