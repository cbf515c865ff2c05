"""A search; test_command.py has the rest."""

import dataclasses
import json
import logging
from pathlib import Path

import keras
import pytest

from keras_decorr.cli.folders.folder import versions
from keras_decorr.cli.tune.config import TuningConfig
from keras_decorr.cli.tune.search import _described, without_retracing_warnings

OLD = Path(__file__).parents[3] / "benchmarks" / "results" / "tune-cifar10" / "config.json"


def test_a_folder_of_version_0_1_0_is_resumed(tmp_path):
    saved, path = json.loads(OLD.read_text()), tmp_path / "config.json"
    now = {**saved, "versions": versions(), "backend": keras.backend.backend()}
    path.write_text(json.dumps(now))
    config = TuningConfig.from_dict(saved["config"])
    assert _described(path, config) is None  # nothing is to be written
    more = dataclasses.replace(config, trials=3)
    assert _described(path, more)["config"]["trials"] == 3
    for changed in ({"seed": 1}, {"rows": "pixels"}):
        with pytest.raises(ValueError, match=f"a search with another {next(iter(changed))}"):
            _described(path, dataclasses.replace(config, **changed))


def test_tensorflow_does_not_tell_of_retracing(caplog):
    logger = logging.getLogger("tensorflow")
    logger.addHandler(caplog.handler)
    text = "5 out of the last 13 calls to %s triggered tf.function retracing. Tracing is expensive"
    try:
        with without_retracing_warnings():
            logger.warning(text, "<function one_step>")
            logger.warning("another")
        logger.warning(text, "<function two_steps>")
    finally:
        logger.removeHandler(caplog.handler)
    told = dict.fromkeys(caplog.messages)
    assert list(told) == ["another", text % "<function two_steps>"]
