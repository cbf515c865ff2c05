"""What the pipelines of all data sets share."""

import pytest

from keras_decorr.datasets.pipeline import check_sizes, fed


def test_batches_are_fed_unchanged_without_the_tuner_of_tf_data():
    import tensorflow as tf

    data = fed(tf.data.Dataset.range(5).batch(2))
    assert [batch.numpy().tolist() for batch in data] == [[0, 1], [2, 3], [4]]
    assert data.options().autotune.enabled is False


def test_sizes_that_are_not_there_are_refused():
    check_sizes("x", (5, 3), (None, 3))
    with pytest.raises(ValueError, match=r"`test_size` of .* 'x' .* 1 and 3, the rows that .*: 4"):
        check_sizes("x", (5, 3), (5, 4), "rows")
    with pytest.raises(ValueError, match=r"`train_size` .* 1 and 5, the images .*: 0"):
        check_sizes("x", (5, 3), (0, None))
