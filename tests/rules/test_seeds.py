"""The seeds of what a rule draws."""

import keras
import pytest

from keras_decorr.rules.seeds import check_seed, drawn_seed


def test_a_seed_stays_and_none_follows_that_of_keras():
    assert drawn_seed(5) == 5
    found = []
    for _ in range(2):
        keras.utils.set_random_seed(3)
        found.append([drawn_seed(None) for _ in range(2)])
    assert found[0] == found[1]
    assert found[0][0] != found[0][1]
    assert all(0 <= seed < 2**30 for seed in found[0])


def test_other_seeds_are_refused():
    assert check_seed("Owner", None) is None
    assert check_seed("Owner", 3) == 3
    with pytest.raises(ValueError, match=r"`seed` of Owner must be an integer.*Received: 0.5"):
        check_seed("Owner", 0.5)
