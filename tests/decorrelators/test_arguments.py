"""Checks of numbers: what passes, and the message for what does not."""

import math

import numpy as np
import pytest

from keras_decorr.decorrelators.arguments import check_count, check_number


@pytest.mark.parametrize("value", [0, 0.5, 1, np.float32(0.25), np.int64(1)])
def test_a_number_in_its_interval_is_returned(value):
    assert check_number("Owner", "share", value, 0.0, 1.0) is value


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan, math.inf, True, "0.5", None])
def test_other_values_are_named_with_the_interval(value):
    with pytest.raises(ValueError, match=r"`share` of Owner .* in \[0, 1\]\. Received: "):
        check_number("Owner", "share", value, 0.0, 1.0)


def test_an_interval_may_be_open_below_and_without_an_end():
    assert check_number("Owner", "size", 1e9, 0.0, open_low=True) == 1e9
    with pytest.raises(ValueError, match=r"in \(0, inf\)\. Received: 0"):
        check_number("Owner", "size", 0, 0.0, open_low=True)


def test_counts_are_integers_of_at_least_a_number():
    assert type(check_count("Owner", "steps", np.int64(3))) is int
    assert check_count("Owner", "seed", 0, low=0) == 0
    for value in (0, 1.0, True, "2", None):
        with pytest.raises(ValueError, match=r"`steps` of Owner .* at least 1\. Received: "):
            check_count("Owner", "steps", value)
