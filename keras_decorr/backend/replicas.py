"""Statistics of the whole batch where `tf.distribute` has cut it into one part a replica."""

import keras


def replica_mean(x):
    """Mean of a tensor over the replicas of the running strategy; `x` itself outside of one."""
    context = _context()
    if context is None:
        return x
    import tensorflow as tf

    return context.all_reduce(tf.distribute.ReduceOp.MEAN, x)


def replica_number():
    """The number of this replica of the running strategy, from 0."""
    context = _context()
    return 0 if context is None else context.replica_id_in_sync_group


def replica_count():
    """The number of replicas of the running strategy; 1 outside of one."""
    context = _context()
    return 1 if context is None else context.num_replicas_in_sync


def _context():
    """The context of this replica, or `None` where there are no others."""
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return None
    return context
