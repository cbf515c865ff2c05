"""Which rows are sampled."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_decorr.maths.sampling import sample_count, sample_rows


@pytest.mark.parametrize(
    ("batch", "fraction", "count"),
    [(256, 0.1, 26), (1, 0.1, 1), (10, 0.1, 2), (10, 1.0, 10), (100, 0.29, 30), (10, 0.7, 8)],
)
def test_count_is_the_papers_first_tenth_plus_one(batch, fraction, count):
    assert sample_count(batch, fraction) == count
    assert int(sample_count(ops.convert_to_tensor(batch), fraction)) == count


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**31 - 2), st.floats(1e-5, 1.0))
def test_the_count_of_a_tensor_is_that_of_an_integer(batch, fraction):
    """In int32 nothing overflows: `floor(fraction * batch)` to the precision of the fraction."""
    count = sample_count(batch, fraction)
    assert 0 <= count <= batch
    assert abs(count - min(batch, fraction * batch + 1)) <= 1 + batch * 1e-6
    if keras.backend.backend() == "jax":  # no int64 there, and no batch whose size is a tensor
        batch %= 2000
        count = sample_count(batch, fraction)
    assert int(sample_count(ops.convert_to_tensor(batch, "int32"), fraction)) == count


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 30000), st.integers(1, 3000), st.integers(0, 10**5))
def test_rows_are_distinct_and_one_from_each_stratum(rows, limit, phase):
    index = ops.convert_to_numpy(sample_rows(rows, limit, phase))
    assert len(index) == min(rows, limit)
    assert np.all(np.diff(index) >= 1)
    assert index[0] >= 0
    assert index[-1] < rows
    if rows > limit:
        strata = index * limit // rows
        # float32 may put a row on the border of its stratum.
        assert np.abs(strata - np.arange(limit)).max() <= 1


def test_all_rows_come_without_a_limit_and_others_at_other_steps():
    np.testing.assert_array_equal(ops.convert_to_numpy(sample_rows(7, None)), np.arange(7))
    seen = {i for step in range(50) for i in ops.convert_to_numpy(sample_rows(64, 4, step))}
    assert len(seen) == 64 or len(seen) > 55
