"""How the nets of a comparison look in its figure."""

import pytest

from keras_decorr.cli.compare.config import Net
from keras_decorr.cli.compare.figure import label, styles
from keras_decorr.decorrelators import Decorrelator
from keras_decorr.rules import RULES

VARIANTS = ("plain", "batch_normalization", *Decorrelator.structures)


def test_with_several_rules_each_has_a_colour_and_a_marker():
    looks = styles([Net(rule, variant) for rule in RULES for variant in ("plain", "monarch")])
    for key in ("color", "marker"):
        assert len({look[key] for look in looks.values()}) == len(RULES)
    for net, look in looks.items():
        assert look["linestyle"] == ("--" if net.variant == "plain" else "-")
        assert look["color"] == looks[Net(net.rule, "plain")]["color"]


def test_with_one_rule_each_variant_has_a_colour_and_a_marker():
    looks = styles([Net("backprop", variant) for variant in VARIANTS])
    for key in ("color", "marker"):
        assert len({look[key] for look in looks.values()}) == len(VARIANTS)


@pytest.mark.parametrize("rules", [("backprop",), tuple(RULES)])
def test_no_two_nets_look_the_same(rules):
    nets = [Net(rule, variant) for rule in rules for variant in VARIANTS]
    looks = {tuple(sorted(look.items())) for look in styles(nets).values()}
    assert len(looks) == len(nets) == len({label(net, rules) for net in nets})
