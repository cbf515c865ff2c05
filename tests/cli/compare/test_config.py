"""The configuration: its nets and rates, and what it refuses."""

import pytest

from keras_decorr.cli.compare.config import Config, Net
from keras_decorr.cli.nets import NETS
from keras_decorr.decorrelators import STRUCTURES, ZCA


def test_every_rule_trains_every_variant():
    config = Config(
        rule=("backprop", "feedback_alignment"), structure=("full",), batch_normalization=True
    )
    assert [net.name for net in config.nets] == [
        "plain", "batch_normalization", "full", "feedback_alignment-plain",
        "feedback_alignment-batch_normalization", "feedback_alignment-full",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("decorrelator", "structure", "names"),
    [
        (("zca",), ("full", "monarch"), ["full", "monarch"]),
        (("zca", "foldiak"), ("full",), ["zca", "foldiak"]),
        (("zca", "foldiak"), ("full", "monarch"),
         ["zca-full", "zca-monarch", "foldiak-full", "foldiak-monarch"]),
    ],
)  # fmt: skip
def test_a_variant_is_called_by_what_tells_it_apart(decorrelator, structure, names):
    config = Config(decorrelator=decorrelator, structure=structure)
    assert [net.name for net in config.nets] == ["plain", *names]
    pairs = [(d, s) for d in decorrelator for s in structure]
    assert list(config.decorrelations.values()) == pairs


def test_the_rate_of_a_running_mean_is_not_that_of_a_net():
    config = Config(dataset="cifar10", decorrelator=("norm_preserving", "zca"))
    _plain, linear, zca = config.nets
    assert config.usual_rate(linear) == NETS["dense"].decorrelation_rates["monarch"]
    assert config.usual_rate(zca) == ZCA().learning_rate


@pytest.mark.parametrize(
    ("net", "rule"), [(net, rule) for net in NETS for rule in NETS[net].learning_rates]
)
def test_every_rule_has_rates_of_its_own(net, rule):
    dataset = "tiny_shakespeare" if net == "gpt" else "cifar10"
    config = Config(dataset=dataset, net=net, rule=(rule,), structure=tuple(STRUCTURES))
    plain, *decorrelated = config.nets
    (rates,) = config.rates(plain)
    assert 0 < rates.learning < 1
    assert rates.decorrelation is None
    for one in decorrelated:
        (rates,) = config.rates(one)
        known = NETS[net].decorrelation_rates
        assert rates.decorrelation == known.get(one.variant, known["monarch"])


def test_only_nets_that_decorrelate_try_decorrelation_rates():
    config = Config(learning_rate=(1e-3, 1e-2), decorrelation_rate=(1e-5, 1e-4))
    assert config.rates(Net("backprop", "plain")) == [(1e-3, None), (1e-2, None)]
    grid = [(1e-3, 1e-5), (1e-3, 1e-4), (1e-2, 1e-5), (1e-2, 1e-4)]
    assert config.rates(Net("backprop", "auto")) == grid


def test_a_rate_may_be_above_1_where_the_rule_allows_it():
    assert Config(decorrelation_rate=(1.5,)).decorrelation_rate == (1.5,)
    assert Config(decorrelation_rate=(1,), decorrelator=("zca",)).decorrelation_rate == (1,)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"dataset": "imagenet"}, "--dataset"),
        ({"net": "transformer"}, "--net"),
        ({"structure": ("banded",)}, "--structure"),
        ({"decorrelator": ("pca",)}, "--decorrelator"),
        ({"epochs": 0}, "--epochs"),
        ({"optimizer": "newton"}, "--optimizer must be one of .*'adamw'.*'muon'"),
        ({"optimizer": "sgd"}, "--learning-rate is needed but with --optimizer adam, "),
        ({"seeds": 0}, "--seeds"),
        ({"batch_size": 0}, "--batch-size"),
        ({"learning_rate": (0.0,)}, "--learning-rate"),
        ({"learning_rate": (float("nan"),)}, "--learning-rate"),
        ({"decorrelation_rate": (1e-5, -1.0)}, "--decorrelation-rate"),
        ({"rule": ("backprop", "hebb")}, "--rule"),
        ({"rule": ("node_perturbation",), "net": "vit"}, "--rule"),
        ({"width": 8}, "--width"),
        ({"width": 0, "net": "vit"}, "--width"),
        ({"rank": 0}, "--rank"),
        ({"max_samples": 0}, "--max-samples"),
        ({"max_samples": -3}, "--max-samples"),
        (
            {"decorrelation_rate": (0.1, 1.5), "decorrelator": ("norm_preserving", "zca")},
            "--decorrelation-rate of --decorrelator zca",
        ),
        ({"preserve": "mean"}, "--preserve"),
        ({"preserve": "raw", "decorrelator": ("zca",)}, "--preserve"),
        ({"gain_rate": 0.0}, "--gain-rate"),
        ({"gain_rate": 1.0, "decorrelator": ("zca",)}, "--gain-rate"),
        ({"structure": ("low_rank",), "decorrelator": ("norm_preserving", "zca")}, "--structure"),
        ({"train_size": 0}, "--train-size"),
        ({"batch_normalization": True, "net": "resnet18"}, "--batch-normalization"),
        ({"structure": ("low_rank",), "decorrelator": ("decorrelated_backprop",)}, "--structure"),
        (
            {"rule": ("backprop", "node_perturbation"), "batch_normalization": True},
            "--batch-normalization",
        ),
    ],
)
def test_bad_options_are_named_before_any_work(arguments, named):
    with pytest.raises(ValueError, match=f"{named}.*Received: "):
        Config(**arguments)


def test_a_variant_has_the_decorrelator_of_its_options():
    config = Config(
        decorrelator=("norm_preserving", "zca"), structure=("full",), gain_rate=0.5, max_samples=64
    )
    linear = config.new_decorrelator("norm_preserving", 1e-3)
    assert (linear.learning_rate, linear.gain_rate, linear.max_samples) == (1e-3, 0.5, 64)
    zca = config.new_decorrelator("zca")
    assert (zca.learning_rate, zca.structure.name) == (ZCA().learning_rate, "full")
