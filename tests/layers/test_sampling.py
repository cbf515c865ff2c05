"""A decorrelator samples all of a batch for a while."""

import pytest

from keras_decorr.decorrelators import NormPreserving
from keras_decorr.layers.sampling import sampling_all


def test_it_is_as_before_afterwards():
    decorrelator = NormPreserving(sample_fraction=0.2, max_samples=7)
    with pytest.raises(KeyError), sampling_all(decorrelator, 100):
        assert (decorrelator.sample_fraction, decorrelator.max_samples) == (1.0, 100)
        raise KeyError
    assert (decorrelator.sample_fraction, decorrelator.max_samples) == (0.2, 7)
