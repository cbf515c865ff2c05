"""The help of every subcommand."""

import pytest
from typer.testing import CliRunner

from keras_decorr.cli.main import app

NAMES = [command.name or command.callback.__name__ for command in app.registered_commands]


@pytest.mark.parametrize("name", NAMES)
def test_it_shows_an_example(name):
    done = CliRunner().invoke(app, [name, "--help"])
    assert done.exit_code == 0
    assert (
        f"keras-decorr {name}"
        in done.output.split("Options")[0].split("Usage")[1].split("\n", 1)[1]
    )


@pytest.mark.parametrize("arguments", [[], *([name] for name in NAMES)])
def test_the_help_fits_80_columns(arguments):
    done = CliRunner().invoke(app, [*arguments, "--help"], env={"COLUMNS": "80"})
    assert done.exit_code == 0
    lines = done.output.splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("│ --") for line in lines)


def test_errors_are_a_line_unless_debug(tmp_path):
    arguments = ["compare", "--rule", "hebb", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr.startswith("ValueError: Option --rule must be one of ['backprop'")
    assert done.stderr.count("\n") == 1
    done = CliRunner().invoke(app, ["--debug", *arguments])
    assert isinstance(done.exception, ValueError)
