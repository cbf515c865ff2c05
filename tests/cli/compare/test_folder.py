"""The folder of a comparison: which other configuration may resume it."""

import json
from pathlib import Path

import pytest

from keras_decorr.cli.compare.config import Config
from keras_decorr.cli.compare.folder import check_folder
from keras_decorr.files import write_json

RESULTS = Path(__file__).parents[3] / "benchmarks" / "results"
# Folders that version 0.1.0 wrote. The others here were written by versions before it.
COMPARISONS = [
    "cifar10-conv-12",
    "cifar10-conv-no-augment",
    "cifar10-dense",
    "cifar10-resnet18",
    "cifar10-vit",
    "subsets-conv/tiny_imagenet-conv",
]


def prepare_folder(out, config):
    write_json(*check_folder(out, config))


def saved(name):
    return json.loads((RESULTS / name / "config.json").read_text())


def options(name, **changed):
    """The options of a folder of version 0.1.0, as its command would give them today."""
    given = {
        key: tuple(v) if isinstance(v, list) else v for key, v in saved(name)["config"].items()
    }
    given["structure"] = tuple(s for s in given["structure"] if s != "channel")
    return Config(**{**given, **changed})


@pytest.fixture
def old(tmp_path):
    """A copy of a folder of version 0.1.0: the dense net of the README."""
    (tmp_path / "config.json").write_text(json.dumps(saved("cifar10-dense")))
    return tmp_path


@pytest.mark.parametrize("name", COMPARISONS)
def test_a_folder_of_version_0_1_0_is_resumed(tmp_path, name):
    (tmp_path / "config.json").write_text(json.dumps(saved(name)))
    prepare_folder(tmp_path, options(name))
    prepare_folder(tmp_path, options(name, seeds=7, data_dir="elsewhere"))
    now = json.loads((tmp_path / "config.json").read_text())
    assert now["config"]["rows"] == "patches"
    for rates in ("learning_rates", "decorrelation_rates"):
        assert now[rates] == saved(name)[rates]  # those of "channel", too


def test_the_structure_channel_of_version_0_1_0_is_rows_of_pixels(tmp_path):
    described = saved("cifar10-conv-no-augment")
    described["config"]["structure"] = ["channel"]
    (tmp_path / "config.json").write_text(json.dumps(described))
    with pytest.raises(ValueError, match=r"another \['rows'\]"):
        prepare_folder(tmp_path, options("cifar10-conv-no-augment"))
    prepare_folder(tmp_path, options("cifar10-conv-no-augment", rows="pixels"))


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"rule": ("backprop", "feedback_alignment")}, "'rule'"),
        ({"rule": ("feedback_alignment",)}, "'rule'"),
        ({"learning_rate": (1e-3,)}, "'learning_rate'"),
        ({"learning_rate": (3e-4, 1e-3)}, "'learning_rate'"),
        ({"groups": 16}, "'groups'"),
        ({"rows": "pixels"}, "'rows'"),
        ({"optimizer": "adamw"}, "'optimizer'"),
        ({"schedule": "cosine"}, "'schedule'"),
        ({"preserve": "raw"}, "'preserve'"),
        ({"gain_rate": 1.0}, "'gain_rate'"),
        ({"decorrelator": ("recurrent",), "structure": ("monarch",)}, "'decorrelator'"),
        ({"decorrelation_rate": (1e-3,), "structure": ("monarch",)}, "'decorrelation_rate'"),
    ],
)
def test_one_of_another_kind_is_refused(old, arguments, named):
    before = (old / "config.json").read_text()
    with pytest.raises(ValueError, match=rf"another \[{named}\].*--out"):
        prepare_folder(old, options("cifar10-dense", **arguments))
    assert (old / "config.json").read_text() == before


def test_a_folder_of_before_version_0_1_0_is_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(saved("cifar10-conv-rules")))
    with pytest.raises(ValueError, match=r"another \[.*'gain_rate'.*--out"):
        prepare_folder(tmp_path, Config(dataset="cifar10", net="conv"))


def test_the_rates_of_a_structure_that_is_left_out_are_kept(tmp_path):
    prepare_folder(tmp_path, Config(structure=("full",), decorrelation_rate=(1e-3,)))
    prepare_folder(tmp_path, Config(structure=("monarch",), decorrelation_rate=(2e-3,)))
    rates = json.loads((tmp_path / "config.json").read_text())["decorrelation_rates"]
    assert rates == {"full": [1e-3], "monarch": [2e-3]}
    with pytest.raises(ValueError, match=r"another \['decorrelation_rate'\]"):
        prepare_folder(tmp_path, Config(structure=("full",), decorrelation_rate=(2e-3,)))


def test_structures_cannot_join_several_decorrelators(tmp_path):
    # With two structures the runs have other names.
    several = {"decorrelator": ("norm_preserving", "zca")}
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
