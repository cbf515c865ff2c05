"""A set of labelled images, and the pipelines that feed it to a model."""

import functools
from dataclasses import dataclass

import numpy as np

from keras_decorr.datasets.augment import crop_and_flip


@dataclass(frozen=True)
class Images:
    """Training and test images with their labels.

    Attributes:
        name: Name of the data set.
        x_train: `(n, height, width, channels)` uint8 images.
        y_train: `(n,)` int labels.
        x_test: Test images.
        y_test: Test labels.
        classes: Number of classes.
        augmentable: Whether crops and flips leave the label as it is.

    Example:

    >>> import keras_decorr
    >>> digits = keras_decorr.datasets.load("digits")
    >>> digits.input_shape, digits.classes
    ((8, 8, 1), 10)
    >>> x, y = next(iter(digits.train(batch_size=32)))
    >>> tuple(x.shape)
    (32, 8, 8, 1)
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    classes: int
    augmentable: bool

    @property
    def input_shape(self):
        """`(height, width, channels)`."""
        return self.x_train.shape[1:]

    def train(self, batch_size=256, augment=True, seed=0):
        """The training images as a `tf.data.Dataset`: shuffled anew every epoch.

        Args:
            batch_size: Samples a batch; the last batch may be smaller.
            augment: Crop and flip at random, where the data set allows it (CIFAR).
            seed: Seed of the order and the crops. The same seed gives the same batches.

        Returns:
            A dataset of `(images, labels)`, normalised by channel to mean 0 and variance 1.
        """
        import tensorflow as tf

        data = tf.data.Dataset.from_tensor_slices((self.x_train, self.y_train))
        data = data.shuffle(len(self.x_train), seed=seed).batch(batch_size)
        seeds = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True)

        def prepare(batch, number):
            x, y = batch
            if augment and self.augmentable:
                x = crop_and_flip(x, tf.stack([number, number + 7]))
            return self._normalised(x), y

        return _fed(tf.data.Dataset.zip(data, seeds).map(prepare))

    def test(self, batch_size=256):
        """The test images as a `tf.data.Dataset`, in a fixed order, normalised like the others."""
        import tensorflow as tf

        data = tf.data.Dataset.from_tensor_slices((self.x_test, self.y_test)).batch(batch_size)
        return _fed(data.map(lambda x, y: (self._normalised(x), y)))

    def _normalised(self, x):
        import tensorflow as tf

        mean, deviation = self._statistics
        return (tf.cast(x, tf.float32) - mean) / deviation

    @functools.cached_property
    def _statistics(self):
        """Mean and standard deviation of each channel of the training images."""
        axes = (0, 1, 2)
        mean = self.x_train.mean(axes, dtype="float64")
        square = np.square(self.x_train, dtype="float32").mean(axes, dtype="float64")
        deviation = np.sqrt(square - mean**2)
        return mean.astype("float32"), np.maximum(deviation, 1e-6).astype("float32")


def _fed(data):
    """Prepare batches while the model trains, without tf.data's tuner.

    There is nothing to tune here, and at the end of an epoch the tuner can hold an iterator back
    until its next round, which comes 10, 20, 40, ... ms later: up to half of the epoch.
    """
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    return data.prefetch(2).with_options(options)
