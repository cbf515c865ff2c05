"""The folder of a comparison, of today and of before there were rules."""

import json
from pathlib import Path

import pytest

from keras_decorr.cli.compare.config import Config
from keras_decorr.cli.folders.folder import checked_folder
from keras_decorr.files.whole import write_json

RESULTS = Path(__file__).parents[3] / "benchmarks" / "results"
OLD = {
    "config": {
        "dataset": "digits", "data_dir": None, "net": "dense", "epochs": 10, "batch_size": 64,
        "learning_rate": [1e-4], "tuning_epochs": 5, "decorrelator": "norm_preserving",
        "decorrelation_rate": None, "structure": ["monarch"], "groups": 16, "max_samples": None,
        "batch_normalization": False, "augment": True, "seeds": 1,
    },
    "decorrelation_rates": {"monarch": 2e-3},
    "seeds": [0],
}  # fmt: skip

LIKE_OLD = {"learning_rate": (1e-4,), "groups": 16, "preserve": "raw", "gain_rate": 1.0}


def prepare_folder(out, config):
    write_json(*checked_folder(out, config))


@pytest.fixture
def old(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(OLD))
    return tmp_path


@pytest.mark.parametrize(
    "config",
    [
        Config(**LIKE_OLD),
        Config(**LIKE_OLD, decorrelation_rate=(2e-3,)),
        Config(**LIKE_OLD, seeds=3),
        Config(**LIKE_OLD, structure=("monarch", "full"), batch_normalization=True),
    ],
)
def test_a_folder_from_before_there_were_rules_is_known(old, config):
    prepare_folder(old, config)
    assert json.loads((old / "config.json").read_text())["config"]["rule"] == ["backprop"]
    prepare_folder(old, config)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"rule": ("backprop", "feedback_alignment")}, "'rule'"),
        ({"rule": ("feedback_alignment",)}, "'rule'"),
        ({"learning_rate": ()}, "'learning_rate'"),  # the default is another today
        ({"groups": 32}, "'groups'"),
        ({"preserve": "centred"}, "'preserve'"),
        ({"gain_rate": 0.1}, "'gain_rate'"),
        ({"decorrelator": ("recurrent",)}, "'decorrelator'"),
        ({"learning_rate": (1e-3,)}, "'learning_rate'"),
        ({"learning_rate": (1e-4, 1e-3)}, "'learning_rate'"),
        ({"decorrelation_rate": (1e-3,), "structure": ("monarch",)}, "'decorrelation_rate'"),
    ],
)
def test_one_of_another_kind_is_refused(old, arguments, named):
    with pytest.raises(ValueError, match=rf"another \[{named}\].*--out"):
        prepare_folder(old, Config(**{**LIKE_OLD, **arguments}))
    assert json.loads((old / "config.json").read_text()) == OLD


def test_the_rates_of_a_structure_that_is_left_out_are_kept(tmp_path):
    prepare_folder(tmp_path, Config(structure=("full",), decorrelation_rate=(1e-3,)))
    prepare_folder(tmp_path, Config(structure=("monarch",), decorrelation_rate=(2e-3,)))
    rates = json.loads((tmp_path / "config.json").read_text())["decorrelation_rates"]
    assert rates == {"full": [1e-3], "monarch": [2e-3]}
    with pytest.raises(ValueError, match=r"another \['decorrelation_rate'\]"):
        prepare_folder(tmp_path, Config(structure=("full",), decorrelation_rate=(2e-3,)))


def test_structures_cannot_join_several_decorrelators(tmp_path):
    several = {
        "decorrelator": ("norm_preserving", "zca")
    }  # with two structures, other names of runs
    prepare_folder(tmp_path, Config(**several, structure=("full",)))
    with pytest.raises(ValueError, match=r"another \['structure'\]"):
        prepare_folder(tmp_path, Config(**several, structure=("full", "block_diagonal")))


@pytest.mark.parametrize(
    "content",
    ["no JSON", "[]", "{}", (RESULTS / "tune-cifar10" / "config.json").read_text()],
    ids=["text", "list", "empty", "search"],
)
def test_something_else_is_refused(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ValueError, match=r"something else than a comparison.*--out"):
        prepare_folder(tmp_path, Config())
    assert (tmp_path / "config.json").read_text() == content
