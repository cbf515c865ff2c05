"""Crops and flips a batch of images, as in N. Ahmad, arXiv 2407.10780.

For CIFAR the crop has the size of the image and is taken from the image padded with zeros. For Tiny
ImageNet it is smaller than the image, which is not padded.
"""

from typing import Any


def crop_and_flip(images: Any, seed: Any, padding: int = 4, margin: int = 0) -> Any:
    """Crops each padded image at a random place and mirrors half of the images.

    One gather along each axis does all.

    Args:
        images: `(batch, height, width, channels)` TensorFlow tensor.
        seed: Integer tensor of shape `(2,)`; the same seed gives the same crops.
        padding: Pixels of zeros to put on each side before the crop is taken.
        margin: Pixels by which the crop is smaller than the image, in height and in width.

    Returns:
        A tensor `(batch, height - margin, width - margin, channels)`.
    """
    import tensorflow as tf

    batch = tf.shape(images)[0]
    height, width = (length - margin for length in images.shape[1:3])
    shift = tf.random.stateless_uniform((batch, 2), seed, 0, margin + 2 * padding + 1, tf.int32)
    mirrored = tf.random.stateless_uniform((batch, 1), seed + 1, 0, 2, tf.int32)
    rows = shift[:, :1] + tf.range(height)
    columns = tf.range(width)
    columns = shift[:, 1:] + tf.where(mirrored == 1, columns[::-1], columns)
    if padding:
        images = tf.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    return tf.gather(tf.gather(images, rows, axis=1, batch_dims=1), columns, axis=2, batch_dims=1)


def centre_crop(images: Any, margin: int) -> Any:
    """Crops the middle of each image, `margin` pixels smaller in height and in width."""
    before, after = margin // 2, margin - margin // 2
    height, width = images.shape[1:3]
    return images[:, before : height - after, before : width - after]
