"""Statistics of the whole batch where `tf.distribute` has cut it into one part a replica."""

import keras


def replica_mean(x):
    """Mean of a tensor over the replicas of the running strategy; `x` itself outside of one."""
    if keras.backend.backend() != "tensorflow":
        return x
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return x
    return context.all_reduce(tf.distribute.ReduceOp.MEAN, x)


def replica_number():
    """The number of this replica of the running strategy, from 0."""
    if keras.backend.backend() != "tensorflow":
        return 0
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return 0
    return context.replica_id_in_sync_group
