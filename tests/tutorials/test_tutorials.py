"""Every tutorial runs from start to end as a notebook, in a folder of its own."""

import importlib
import os
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TUTORIALS = sorted((ROOT / "tutorials").glob("*.py"))
MINUTES = 5  # for the whole of one, on the digits; on real images for each cell


def imported(name, config):
    """A module; without it `-m tutorial` fails, and a run of all tests skips the tutorials."""
    if config.getoption("markexpr") == "tutorial":
        return importlib.import_module(name)
    return pytest.importorskip(name)


@pytest.mark.tutorial
@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_it_runs(path, tmp_path, pytestconfig):
    jupytext, nbclient = (imported(name, pytestconfig) for name in ("jupytext", "nbclient"))
    notebook = jupytext.read(path)
    client = nbclient.NotebookClient(
        notebook, timeout=60 * MINUTES, resources={"metadata": {"path": str(tmp_path)}}
    )
    start = time.perf_counter()
    client.execute()
    seconds = time.perf_counter() - start
    out = ROOT / "build" / "tutorials"
    out.mkdir(parents=True, exist_ok=True)
    jupytext.write(notebook, out / f"{path.stem}.ipynb")
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert any("image/png" in output.get("data", {}) for output in outputs), "no figure"
    if not os.environ.get("TFDS_DATA_DIR"):
        assert seconds < 60 * MINUTES
