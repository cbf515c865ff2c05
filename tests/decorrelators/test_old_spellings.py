"""Arguments of version 0.1.0 mean what they meant."""

import pytest

from keras_decorr.decorrelators import NormPreserving
from keras_decorr.decorrelators.structures import Auto, Full, LowRank, Monarch
from tests.helpers import undamped


@pytest.mark.parametrize(
    ("old", "structure", "rows"),
    [
        ({"structure": "monarch", "groups": 4, "rank": None}, Monarch(4), "patches"),
        ({"structure": "auto", "groups": 8}, Auto(8), "patches"),
        ({"structure": "low_rank", "groups": 32, "rank": 5}, LowRank(5), "patches"),
        ({"structure": "full", "groups": 32, "rank": 5}, Full(), "patches"),
        ({"structure": "channel", "groups": 32, "rank": None}, Auto(), "pixels"),
    ],
)
def test_arguments_of_version_0_1_0(old, structure, rows):
    decorrelator = NormPreserving.from_config({"learning_rate": 1e-3, **old})
    assert (decorrelator.structure, decorrelator.rows) == (structure, rows)
    again = NormPreserving.from_config(decorrelator.get_config())
    assert (again.structure, again.rows) == (structure, rows)


def test_an_argument_that_never_was_one_is_a_type_error():
    with pytest.raises(TypeError, match=r"NormPreserving has no argument 'group'.*Received: 3"):
        undamped(group=3)
