"""The command `reproduce`."""

import json

import pytest
from typer.testing import CliRunner

from keras_decorr.cli.main import app
from keras_decorr.cli.reproduce import grid_run as module
from keras_decorr.cli.reproduce.grid import names


def invoke(*arguments):
    done = CliRunner().invoke(app, ["reproduce", *map(str, arguments)])
    return done.exit_code, " ".join(done.output.split())


def test_it_lists_the_grids():
    code, said = invoke("--list")
    assert code == 0
    for name in names():
        assert name in said


def test_it_trains_shows_and_writes(small, tmp_path, monkeypatch):
    (tmp_path / "mine.toml").write_text("epochs = 1\nbatch_size = 64\n[small]\ntrain_size = 80\n")
    arguments = ("--grid", tmp_path / "mine.toml", "--scale", "small", "--out", tmp_path / "out")
    code, said = invoke(*arguments)
    assert code == 0, said
    assert "2 of 2 runs" in said
    assert "digits-dense backprop auto-lr0.0003-seed0: best test accuracy" in said
    assert "fewer" in said
    described = json.loads((tmp_path / "out" / "grid.json").read_text())
    assert (described["grid"], described["scale"]) == ("mine", "small")

    def refuse(*arguments):
        raise ArithmeticError("diverged on [/job:localhost/device:GPU:0]")

    monkeypatch.setattr(module, "train", refuse)
    code, said = invoke(*arguments, "--seeds", 2)
    assert code == 1
    assert "failed" in said
    assert "ArithmeticError: diverged on [/job:localhost/device:GPU:0]" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--grid", "nothing"), "--grid must be one of"),
        (("--scale", "large"), "--scale must be one of"),
        (("--grid", "mnist", "--data-dir", "/nowhere/at/all"), "`data_dir` must be an existing"),
    ],
)
def test_it_refuses_in_a_line(tmp_path, arguments, said):
    code, output = invoke(*arguments, "--out", tmp_path / "out")
    assert code == 2
    assert said in output
    assert "Traceback" not in output
