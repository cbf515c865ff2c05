"""Every tutorial runs from start to end as a notebook, in a folder of its own."""

import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TUTORIALS = sorted((ROOT / "tutorials").glob("*.py"))
MINUTES = 20  # for each cell, on real images and slow machines; `--durations=0` shows what it took


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
    client.execute()
    out = ROOT / "build" / "tutorials"
    out.mkdir(parents=True, exist_ok=True)
    jupytext.write(notebook, out / f"{path.stem}.ipynb")
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert any("image/png" in output.get("data", {}) for output in outputs), "no figure"
