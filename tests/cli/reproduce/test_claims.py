"""The paper's claims against made-up runs."""

import numpy as np
import pytest

from keras_decorr.cli.compare.config import Net
from keras_decorr.cli.reproduce.claims import check_claims, p_value

PLAIN, FULL = Net("backprop", "plain"), Net("backprop", "full")
FA_PLAIN, FA_FULL = (Net("feedback_alignment", v) for v in ("plain", "full"))


def run(*accuracies, seconds=1.0):
    return [
        {"epoch": i + 1, "seconds": seconds, "test_accuracy": a} for i, a in enumerate(accuracies)
    ]


def verdicts(results):
    return {(c.net, c.text): (c.mean, c.verdict) for c in check_claims(results)}


def test_the_p_value_is_that_of_students_t():
    # t = mean / (s / sqrt(n)) = 2 / (1 / sqrt(3)); with 2 degrees of freedom the distribution of t is
    # 1/2 + t / (2 sqrt(2 + t^2)).
    t = 2 * np.sqrt(3)
    assert p_value([1.0, 2.0, 3.0]) == pytest.approx(0.5 - t / (2 * np.sqrt(2 + t**2)))
    assert p_value([-1.0, -2.0, -3.0]) == pytest.approx(0.5 + t / (2 * np.sqrt(2 + t**2)))
    assert p_value([1.0, 1.0, 1.0]) == 0.125
    assert p_value([0.0, 0.0]) == 1.0
    assert p_value([5.0]) is None


def test_a_test_at_5_percent_errs_in_5_percent(rng):
    wrong = np.mean([p_value(rng.normal(size=5)) < 0.05 for _ in range(2000)])
    assert abs(wrong - 0.05) < 4 * np.sqrt(0.05 * 0.95 / 2000)


def test_claims_that_hold_and_that_do_not():
    results = {
        PLAIN: {s: run(0.3, 0.4, 0.5 + s / 100) for s in range(3)},
        FULL: {s: run(0.6 + s / 50, 0.5, 0.5, seconds=2.0) for s in range(3)},
        FA_PLAIN: {s: run(0.1, 0.2, 0.3) for s in range(3)},
        FA_FULL: {s: run(0.1, 0.1, 0.2 + s / 100) for s in range(3)},
    }
    found = verdicts(results)
    assert found[FULL, "better accuracy"] == (pytest.approx(11.0), "holds")
    # All three save two epochs: 2^-3 is not below 5 %.
    assert found[FULL, "fewer epochs"] == (2.0, "not significant")
    assert found[FULL, "less time"] == (1.0, "not significant")
    assert found[FA_FULL, "better accuracy"] == (pytest.approx(-9.0), "does not hold")
    assert found[FA_FULL, "fewer epochs"] == (-1.0, "does not hold")  # not reached: one more than 3
    assert found[FA_FULL, "better than plain backprop"] == (pytest.approx(-30.0), "does not hold")
    assert (FULL, "better than plain backprop") not in found


def test_only_seeds_of_both_nets_are_compared_and_one_seed_is_not_tested():
    found = verdicts({PLAIN: {0: run(0.5), 1: run(0.9)}, FULL: {0: run(0.6), 2: run(0.1)}})
    assert found[FULL, "better accuracy"] == (pytest.approx(10.0), "holds for one seed, not tested")
    assert check_claims({FULL: {0: run(0.6)}}) == []
