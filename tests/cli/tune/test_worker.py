"""A worker of a search; test_command.py starts some."""

import json
import os

import pytest

pytest.importorskip("keras_tuner")
from keras_decorr.cli.tune import search, worker
from keras_decorr.cli.tune.config import TuningConfig


def test_it_searches_with_the_configuration_of_the_folder(tmp_path, monkeypatch):
    config, found = TuningConfig(structure=("full", "monarch"), learning_rates=(1e-4, 1e-2)), []
    saved = json.dumps({"config": config.to_dict()})
    (tmp_path / "config.json").write_text(saved)
    monkeypatch.setattr(search, "search", lambda *arguments: found.append(arguments))
    worker.main(tmp_path, os.getppid())
    assert found == [(config, tmp_path)]


def test_it_ends_when_its_chief_is_gone(monkeypatch):
    def end(code):
        raise SystemExit(code)

    monkeypatch.setattr(os, "_exit", end)
    with pytest.raises(SystemExit) as ended:
        worker._end_with(-1)
    assert ended.value.code == 1
