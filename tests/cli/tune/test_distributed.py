"""The roles of the processes of a search; test_command.py runs several."""

import os

import pytest

pytest.importorskip("keras_tuner")
from keras_decorr.cli.tune import distributed

VARIABLES = ("KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT")


@pytest.mark.parametrize(("tuner_id", "role"), [("chief", "chief"), ("worker0", "worker")])
def test_the_environment_says_who_it_is(monkeypatch, tuner_id, role):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert distributed.role() is None
    for name, value in zip(VARIABLES, (tuner_id, "127.0.0.1", "8000"), strict=True):
        monkeypatch.setenv(name, value)
    assert distributed.role() == role


def test_the_environment_is_as_before_afterwards(monkeypatch):
    monkeypatch.setenv("ONE", "1")
    monkeypatch.delenv("TWO", raising=False)
    with distributed._environment({"ONE": "x", "TWO": "y"}):
        assert (os.environ["ONE"], os.environ["TWO"]) == ("x", "y")
    assert os.environ["ONE"] == "1"
    assert "TWO" not in os.environ


def test_the_last_line_of_a_log_is_what_a_worker_died_of(tmp_path):
    log = tmp_path / "worker0.log"
    log.write_text("Traceback\nMemoryError: none left\n\n")
    assert distributed._last_line(log) == "MemoryError: none left"
    log.write_text("")
    assert distributed._last_line(log) == ""
