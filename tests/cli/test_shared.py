"""Errors in a line, and the choice of the backend."""

import os
import sys

import keras
import pytest
import typer

from keras_decorr.cli import shared


def test_an_error_of_several_lines_is_one_line_on_stderr(capsys, monkeypatch):
    monkeypatch.setattr(shared, "show_tracebacks", False)
    with pytest.raises(typer.Exit) as ended, shared.errors_in_a_line():
        raise ValueError("[bold]one[/bold],\n  two\n" + 50 * "and more ")
    assert ended.value.exit_code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"ValueError: [bold]one[/bold], two {' '.join(50 * ['and more'])}\n"


def test_the_process_starts_again_with_another_backend(monkeypatch):
    started = []
    monkeypatch.setattr(os, "execve", lambda *arguments: started.append(arguments))
    monkeypatch.setattr(sys, "argv", ["keras-decorr", "compare", "--epochs", "1"])
    shared.use_backend(None)
    shared.use_backend(keras.backend.backend())
    assert not started
    other = next(name for name in shared.BACKENDS if name != keras.backend.backend())
    shared.use_backend(other)
    ((_program, command, environment),) = started
    assert command[1:] == ["-m", "keras_decorr.cli.main", "compare", "--epochs", "1"]
    assert environment["KERAS_BACKEND"] == other


def test_an_unknown_backend_is_refused(capsys, monkeypatch):
    monkeypatch.setattr(shared, "show_tracebacks", False)
    with pytest.raises(typer.Exit):
        shared.use_backend("mxnet")
    assert (
        "Option --backend must be one of ['tensorflow', 'jax', 'torch']" in capsys.readouterr().err
    )
