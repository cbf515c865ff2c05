"""Random crops and flips of a batch of images, as in N. Ahmad, arXiv 2407.10780, for CIFAR."""


def crop_and_flip(images, seed, padding=4):
    """Shift every image by up to `padding` pixels each way and mirror half of them.

    The shift is a crop from the image padded with zeros. One gather along each axis does all.

    Args:
        images: `(batch, height, width, channels)` TensorFlow tensor.
        seed: Integer tensor of shape `(2,)`; the same seed gives the same crops.
        padding: Pixels of padding on each side.

    Returns:
        A tensor of the same shape.
    """
    import tensorflow as tf

    batch, (height, width) = tf.shape(images)[0], images.shape[1:3]
    shift = tf.random.stateless_uniform((batch, 2), seed, 0, 2 * padding + 1, tf.int32)
    mirrored = tf.random.stateless_uniform((batch, 1), seed + 1, 0, 2, tf.int32)
    rows = shift[:, :1] + tf.range(height)
    columns = tf.range(width)
    columns = shift[:, 1:] + tf.where(mirrored == 1, columns[::-1], columns)
    images = tf.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    return tf.gather(tf.gather(images, rows, axis=1, batch_dims=1), columns, axis=2, batch_dims=1)
