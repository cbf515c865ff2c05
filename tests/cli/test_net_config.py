"""The options that compare and tune share."""

import json

import pytest

from keras_decorr.cli.compare.config import Config
from keras_decorr.cli.net_config import DIGITS_RATE, NetConfig, upgraded
from keras_decorr.cli.nets import NETS
from keras_decorr.cli.tune.config import TuningConfig
from keras_decorr.decorrelators import DECORRELATORS, ZCA, NormPreserving
from keras_decorr.decorrelators.structures import LowRank, Monarch
from keras_decorr.models import FAN_IN_UNIFORM

# What a version before these options did.
BEFORE = {"optimizer": "adam", "schedule": "constant", "context": None}
BEFORE |= {"damping": 0.0, "update_every": 1}

BOTH = pytest.mark.parametrize("config_type", [Config, TuningConfig])


@BOTH
def test_the_batch_size_goes_by_the_data_set(config_type):
    assert issubclass(config_type, NetConfig)
    assert config_type().batch_size == 64
    assert config_type(dataset="cifar10").batch_size == 256
    assert config_type(dataset="cifar10", batch_size=32).batch_size == 32
    assert config_type(dataset="tiny_shakespeare", net="gpt").batch_size == 64


@BOTH
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"rows": "columns"}, r"Option --rows must be one of \['patches', 'pixels'\]"),
        ({"structure": ("channel",)}, "Option --structure must be one of"),
        ({"gain_rate": 2.0}, r"Option --gain-rate must be a finite number in \(0, 1\]"),
        ({"net": "vit", "rule": ("node_perturbation",)}, "Option --rule .* for this net"),
        ({"train_size": 0}, "Option --train-size must be an integer of at least 1"),
        ({"schedule": "linear"}, r"Option --schedule must be one of \['constant', 'cosine'\]"),
        (
            {"net": "gpt", "dataset": "cifar10"},
            r"Option --net must be one of \['dense', .*'vit'\] for images, or --dataset one of "
            r"\['python_source', 'tiny_shakespeare'\] for this net. .*--net gpt --dataset cifar10",
        ),
        (
            {"net": "dense", "dataset": "python_source"},
            r"Option --net must be one of \['gpt'\] for texts, or --dataset one of \['digits'.*"
            "--net dense --dataset python_source",
        ),
        ({"context": 64}, "Option --context is for the data sets .*--context 64 --dataset digits"),
    ],
)
def test_both_commands_refuse_the_same(config_type, arguments, said):
    with pytest.raises(ValueError, match=said):
        config_type(**arguments)


@BOTH
def test_a_configuration_is_read_back_from_json(config_type):
    config = config_type(rows="pixels", structure=("full", "monarch"), rank=3)
    assert config_type.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_the_structure_channel_of_version_0_1_0():
    alone = {"structure": ["channel"], "net": "conv"}
    assert upgraded(alone) == BEFORE | {"structure": ["auto"], "rows": "pixels", "net": "conv"}
    assert upgraded({"structure": ["full", "channel"]}) == BEFORE | {
        "structure": ["full"],
        "rows": "patches",
    }
    rows = {"structure": ["full"], "rows": "pixels"}
    assert upgraded(rows) == BEFORE | rows


def test_options_that_are_saved_are_not_changed():
    now = {
        "structure": ["full"], "rows": "pixels", "optimizer": ["adam", "sgd"], "schedule": "cosine",
        "context": 64, "damping": 1.0, "update_every": 4,
    }  # fmt: skip
    assert upgraded(now) == now


def test_the_default_rate():
    config = Config()
    assert config.default_rate("norm_preserving", "full") == DIGITS_RATE
    assert config.default_rate("zca", "full") == ZCA().learning_rate
    conv = Config(dataset="cifar10", net="conv")
    assert conv.default_rate("norm_preserving", "full") == NETS["conv"].decorrelation_rates["full"]


def test_the_decorrelator_has_the_options(monkeypatch):
    given = {}

    class Recording(NormPreserving):
        def __init__(self, **arguments):
            given.update(arguments)

    monkeypatch.setitem(DECORRELATORS, "norm_preserving", Recording)
    config = Config(gain_rate=0.5, groups=8, rank=2)
    config.make_decorrelator("norm_preserving", "monarch", max_samples=None)
    common = {"preserve": "centred", "gain_rate": 0.5, "damping": 0.0, "update_every": 1}
    assert given == {**common, "structure": Monarch(groups=8), "rows": "patches"}
    config = Config(rows="pixels", gain_rate=0.5, groups=8, rank=2)
    config.make_decorrelator("norm_preserving", "low_rank", learning_rate=1e-3)
    low_rank = {"structure": LowRank(rank=2), "rows": "pixels", "learning_rate": 1e-3}
    assert given == {**common, **low_rank}


def test_other_rules_than_backprop_start_from_small_weights():
    assert Config().kernel_initializer is None
    assert Config(rule=("feedback_alignment",)).kernel_initializer == FAN_IN_UNIFORM
    assert Config(initializer="glorot_uniform").kernel_initializer == "glorot_uniform"
