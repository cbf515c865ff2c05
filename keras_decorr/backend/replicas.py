"""Statistics of the whole batch where `tf.distribute` gives each replica a part of it."""

from typing import Any

import keras

from keras_decorr.typing import Tensor


def replica_sum(x: Tensor) -> Tensor:
    """Returns the sum of a tensor over the replicas of the running strategy; `x` outside of one."""
    context = _context()
    if context is None:
        return x
    import tensorflow as tf

    return context.all_reduce(tf.distribute.ReduceOp.SUM, x)


def gather_rows(x: Tensor) -> Tensor:
    """Returns the rows of all replicas one after another; `x` outside of a strategy.

    Args:
        x: A tensor. Its first axis may have another size on every replica, 0 included.
    """
    context = _context()
    return x if context is None else context.all_gather(x, axis=0)


def replica_number() -> Any:
    """Returns the number of this replica of the running strategy, from 0."""
    context = _context()
    return 0 if context is None else context.replica_id_in_sync_group


def replica_count() -> int:
    """Returns the number of replicas of the running strategy; 1 outside of one."""
    context = _context()
    return 1 if context is None else context.num_replicas_in_sync


def _context() -> Any:
    """Returns the context of this replica, or `None` where it is the only one."""
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return None
    return context
