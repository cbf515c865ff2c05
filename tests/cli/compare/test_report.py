"""What the runs of a comparison say."""

import numpy as np
import pytest

from keras_decorr.cli.compare.config import Net
from keras_decorr.cli.compare.report import reference, summarise
from keras_decorr.cli.tasks import TEXTS


def seed(accuracies, seconds):
    return [
        {"epoch": i, "test_accuracy": a, "seconds": seconds + 10 * (i == 0)}
        for i, a in enumerate(accuracies)
    ]


PLAIN = {0: seed([0.1, 0.2, 0.4, 0.3], 2.0), 1: seed([0.1, 0.2, 0.3, 0.5], 2.0)}
FAST = {0: seed([0.3, 0.4, 0.5, 0.6], 3.0), 1: seed([0.1, 0.5, 0.5, 0.7], 3.0)}
SLOW = {0: seed([0.3, 0.3, 0.3, 0.3], 3.0), 1: seed([0.1, 0.5, 0.5, 0.7], 3.0)}


def nets(rule, **variants):
    return {Net(rule, variant): seeds for variant, seeds in variants.items()}


def test_the_summary_counts_epochs_and_seconds():
    summary = summarise(nets("backprop", plain=PLAIN, fast=FAST, slow=SLOW))
    plain, fast, slow = summary.values()
    assert plain["epochs_to_plain"] == pytest.approx((3.5, np.sqrt(0.5)))
    assert fast["epochs_to_plain"] == (2.0, 0.0)
    assert fast["seconds_to_plain"] == (6.0, 0.0)
    assert fast["best_accuracy"][0] == pytest.approx(0.65)
    assert slow["epochs_to_plain"] is None
    assert slow["seeds_that_reached_plain"] == 1


def test_the_plain_net_with_backprop_is_the_reference_and_each_rule_gains_over_its_own():
    summary = summarise(
        nets("feedback_alignment", plain=SLOW, full=FAST) | nets("backprop", plain=PLAIN, full=FAST)
    )
    assert reference(summary) == Net("backprop", "plain")
    assert summary[Net("feedback_alignment", "full")]["epochs_to_plain"] == (2.0, 0.0)
    assert summary[Net("feedback_alignment", "plain")]["epochs_to_plain"] is None
    gain = summary[Net("feedback_alignment", "full")]["gain_over_plain"]
    assert gain == pytest.approx((15.0, np.sqrt(450)))  # 30 points and none
    assert summary[Net("backprop", "full")]["gain_over_plain"] == pytest.approx((20.0, 0.0))
    assert summary[Net("backprop", "plain")]["gain_over_plain"] == (0.0, 0.0)


def test_without_backprop_the_first_rule_is_the_reference():
    rules = nets("node_perturbation", plain=SLOW) | nets("feedback_alignment", plain=PLAIN)
    assert reference(rules) == Net("node_perturbation", "plain")


def test_a_lower_loss_is_better_where_losses_are_compared():
    def losses(*values):
        return {0: [{"validation_loss": loss, "seconds": 2.0} for loss in values]}

    summary = summarise(
        nets("backprop", plain=losses(3.0, 2.5, 2.6), auto=losses(2.8, 2.4, 2.2)), TEXTS
    )
    plain, auto = summary.values()
    assert (plain["best_loss"], auto["best_loss"]) == ((2.5, 0.0), (2.2, 0.0))
    assert (plain["epochs_to_plain"], auto["epochs_to_plain"]) == ((2.0, 0.0), (2.0, 0.0))
    assert auto["gain_over_plain"] == pytest.approx((0.3, 0.0))
