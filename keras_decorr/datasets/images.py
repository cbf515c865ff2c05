"""Feeds a set of labelled images to a model."""

import dataclasses
import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_decorr.datasets.augment import centre_crop, crop_and_flip
from keras_decorr.datasets.pipeline import check_sizes, fed
from keras_decorr.extras import check_installed

# Images to take statistics of at once; all at once would need four times the memory of the data set.
_PART = 1000


@dataclass(frozen=True)
class Images:
    """Holds training and test images with their labels.

    Attributes:
        name: Name of the data set.
        x_train: `(n, height, width, channels)` uint8 images.
        y_train: `(n,)` int labels.
        x_test: Test images.
        y_test: Test labels.
        classes: Number of classes.
        augmentable: Whether crops and flips leave the label as it is.
        margin: Pixels by which what the model sees is smaller than the image, in height and in
            width: a crop from a random place in training, the middle in tests.
        padding: Pixels of zeros around an image that a random crop may reach into.

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
    margin: int = 0
    padding: int = 4

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Returns the shape of the images that the model sees, `(height, width, channels)`."""
        height, width, channels = self.x_train.shape[1:]
        return (height - self.margin, width - self.margin, channels)

    def first(self, train_size: int | None = None, test_size: int | None = None) -> "Images":
        """Returns a set of the first `train_size` training and `test_size` test images.

        Args:
            train_size: Number of training images, or `None` for all.
            test_size: Number of test images, or `None` for all.

        Returns:
            An `Images`.

        Raises:
            ValueError: If there are not that many.
        """
        sizes = len(self.x_train), len(self.x_test)
        check_sizes(self.name, sizes, (train_size, test_size))
        return dataclasses.replace(
            self,
            x_train=self.x_train[:train_size],
            y_train=self.y_train[:train_size],
            x_test=self.x_test[:test_size],
            y_test=self.y_test[:test_size],
        )

    def train(self, batch_size: int = 256, augment: bool = True, seed: int = 0) -> Any:
        """Returns the training images as a `tf.data.Dataset`, shuffled anew every epoch.

        Args:
            batch_size: Samples a batch; the last batch may be smaller.
            augment: Crop and flip at random, where the data set allows it (CIFAR, Tiny ImageNet).
            seed: Seed of the order and the crops. The same seed gives the same batches.

        Returns:
            A dataset of `(images, labels)`, normalised by channel to mean 0 and variance 1.
        """
        check_installed("Images.train", data=("tensorflow",))
        import tensorflow as tf

        data = tf.data.Dataset.from_tensor_slices((self.x_train, self.y_train))
        data = data.shuffle(len(self.x_train), seed=seed).batch(batch_size)
        seeds = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True)

        def prepare(batch: Any, number: Any) -> tuple[Any, Any]:
            x, y = batch
            if augment and self.augmentable:
                x = crop_and_flip(x, tf.stack([number, number + 7]), self.padding, self.margin)
            else:
                x = centre_crop(x, self.margin)
            return self._normalised(x), y

        return fed(tf.data.Dataset.zip(data, seeds).map(prepare))

    def test(self, batch_size: int = 256) -> Any:
        """Returns the test images as a `tf.data.Dataset`, in a fixed order and normalised."""
        check_installed("Images.test", data=("tensorflow",))
        import tensorflow as tf

        data = tf.data.Dataset.from_tensor_slices((self.x_test, self.y_test)).batch(batch_size)
        return fed(data.map(lambda x, y: (self._normalised(centre_crop(x, self.margin)), y)))

    def _normalised(self, x: Any) -> Any:
        import tensorflow as tf

        mean, deviation = self._statistics
        return (tf.cast(x, tf.float32) - mean) / deviation

    @functools.cached_property
    def _statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Computes the mean and standard deviation of each channel of the training images."""
        axes = (0, 1, 2)
        number = self.x_train[..., 0].size
        total = square = np.float64(0)
        for first in range(0, len(self.x_train), _PART):
            part = self.x_train[first : first + _PART].astype("float32")
            total = total + part.sum(axes, dtype="float64")
            square = square + np.square(part).sum(axes, dtype="float64")
        mean, square = total / number, square / number
        deviation = np.sqrt(square - mean**2)
        return mean.astype("float32"), np.maximum(deviation, 1e-6).astype("float32")
