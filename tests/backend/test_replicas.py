"""What is summed and gathered over replicas, and what a single replica gets.

Two real replicas are in tests/training/test_distribution.py: they need a process of their own.
"""

import numpy as np
import pytest
from keras import ops

from keras_decorr.backend import replicas


class Second:
    """The context of the second of two replicas; the first has the rows `other`."""

    num_replicas_in_sync = 2
    replica_id_in_sync_group = 1

    def __init__(self, other):
        self.other = other

    def all_reduce(self, op, x):
        import tensorflow as tf

        assert op == tf.distribute.ReduceOp.SUM
        return self.other + x

    def all_gather(self, x, axis):
        return ops.concatenate([self.other, x], axis=axis)


@pytest.fixture
def rows(rng):
    return ops.convert_to_tensor(rng.normal(size=(3, 2)).astype("float32"))


def test_a_single_replica_has_everything(rows):
    assert replicas.replica_sum(rows) is rows
    assert replicas.gather_rows(rows) is rows
    assert (replicas.replica_number(), replicas.replica_count()) == (0, 1)


def test_two_replicas_put_their_rows_together(rows, tensorflow_only, monkeypatch):
    import tensorflow as tf

    monkeypatch.setattr(tf.distribute, "get_replica_context", lambda: Second(2.0 * rows))
    assert (replicas.replica_number(), replicas.replica_count()) == (1, 2)
    found = ops.convert_to_numpy(replicas.replica_sum(rows))
    np.testing.assert_allclose(found, 3.0 * ops.convert_to_numpy(rows))
    gathered = ops.convert_to_numpy(replicas.gather_rows(rows))
    np.testing.assert_array_equal(gathered[3:], ops.convert_to_numpy(rows))
    assert gathered.shape == (6, 2)


def test_a_strategy_of_one_is_none(rows, tensorflow_only, monkeypatch):
    import tensorflow as tf

    context = Second(rows)
    context.num_replicas_in_sync = 1
    monkeypatch.setattr(tf.distribute, "get_replica_context", lambda: context)
    assert replicas.replica_sum(rows) is rows
    assert replicas.replica_number() == 0
