"""The values that options allow."""

import pytest

from keras_decorr.cli.allowed import Count, Number, OneOf, check_option, one_of


@pytest.mark.parametrize(
    ("allowed", "good", "bad"),
    [
        (OneOf(("a", "b")), ["a"], ["c", None, 1]),
        (OneOf({"a": 1}), ["a"], [1]),
        (Number(), [0, 1e9], [-1e-9, float("inf"), float("nan"), "1", True, None]),
        (Number(0.0, 1.0, open_low=True), [1, 0.1], [0.0, 1.1]),
        (Count(), [1, 7], [0, 1.0, True, None]),
        (Count(0), [0], [-1]),
    ],
)
def test_which_values_are_allowed(allowed, good, bad):
    for value in good:
        check_option("--option", value, allowed)
    for value in bad:
        with pytest.raises(ValueError, match="Option --option must be "):
            check_option("--option", value, allowed)


@pytest.mark.parametrize(
    ("allowed", "said"),
    [
        (OneOf(("a", "b")), "one of ['a', 'b']"),
        (Number(), "a finite number in [0, inf)"),
        (Number(0.0, 0.9, open_low=True), "a finite number in (0, 0.9]"),
        (Count(2), "an integer of at least 2"),
    ],
)
def test_what_the_error_says(allowed, said):
    with pytest.raises(ValueError) as caught:
        check_option("--size", -1, allowed, " of --net dense")
    assert str(caught.value) == f"Option --size of --net dense must be {said}. Received: -1"


def test_the_names_in_a_help_text():
    assert one_of(("a", "b", "c")) == "a, b or c"
