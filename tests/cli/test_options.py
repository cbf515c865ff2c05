"""Options made of the fields of a configuration."""

from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from keras_decorr.cli import shared
from keras_decorr.cli.allowed import Count, OneOf
from keras_decorr.cli.options import Out, check_fields, fields, takes


@dataclass(frozen=True)
class Config:
    size: Annotated[int | None, typer.Option(help="how large"), Count()] = None
    net_name: Annotated[tuple[str, ...], typer.Option(help="which"), OneOf(("a", "b"))] = ("a",)
    rates: Annotated[tuple[float, ...], typer.Option(help="tried")] = ()
    ends: Annotated[tuple[float, float] | None, typer.Option(help="low, high")] = None
    crop: Annotated[bool, typer.Option(help="or not")] = True

    def __post_init__(self):
        check_fields(self)


@pytest.fixture
def run(monkeypatch):
    got = []
    monkeypatch.setattr(shared, "show_tracebacks", False)

    @takes(Config)
    def command(config: Config, out: Out = "somewhere"):
        """Do it."""
        got.append((config, out))

    app = typer.Typer()
    app.command()(command)

    def invoke(*arguments):
        got.clear()
        done = CliRunner().invoke(app, arguments)
        return done, *(got or [None])

    return invoke


def test_an_option_has_the_default_of_its_field(run):
    assert run()[1] == (Config(), "somewhere")


def test_values_have_the_types_of_the_fields(run):
    several = ["--net-name", "b", "--net-name", "a", "--net-name", "b"]
    _, got = run("--size", "3", *several, "--rates", "1", "--ends", "1", "2", "--no-crop")
    assert got[0] == Config(3, ("b", "a"), (1.0,), (1.0, 2.0), False)


def test_a_bad_value_is_named_in_a_line(run):
    done, got = run("--net-name", "c")
    assert done.exit_code == 2 and got is None
    assert done.stderr == "ValueError: Option --net-name must be one of ['a', 'b']. Received: 'c'\n"
    assert "--size must be an integer of at least 1. Received: 0" in run("--size", "0")[0].stderr


def test_the_help_shows_every_option(run):
    said = run("--help")[0].output
    assert "Do it." in said
    for option in ("--size", "--net-name", "--rates", "--ends", "--no-crop", "--out", "--backend"):
        assert option in said
    assert "how large" in said and "[default: a]" in said


def test_the_type_of_one_value():
    elements = {field.name: (field.element, field.several) for field in fields(Config)}
    assert elements["size"] == (int, False)
    assert elements["net_name"] == (str, True)
    assert elements["rates"] == (float, True)
    assert elements["crop"] == (bool, False)
