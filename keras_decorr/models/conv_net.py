"""The convolutional net of N. Ahmad, arXiv 2407.10780: 32-32-pool-64-64-pool-1000."""

import keras

from keras_decorr.models.nets import activated, conv2d, dense, sequential


def conv_net(
    input_shape,
    classes,
    decorrelator="norm_preserving",
    filters=((32, 32), (64, 64)),
    hidden=1000,
    batch_normalization=False,
    classifier_activation="softmax",
    name="conv_net",
):
    """A convolutional classifier: 3x3 convolutions, pooling, one dense layer; leaky ReLU (0.01).

    Args:
        input_shape: Shape of one image, `(height, width, channels)`.
        classes: Number of classes.
        decorrelator: Decorrelator of every layer, or `None` for a plain Keras model.
        filters: Filters of the convolutions, one tuple for each block before a 2x2 pooling.
        hidden: Units of the dense layer.
        batch_normalization: Put `keras.layers.BatchNormalization` before each activation.
        classifier_activation: Activation of the output; `None` returns logits.
        name: Name of the model.

    Returns:
        A `keras_decorr.Sequential`, or a `keras.Sequential` if `decorrelator` is `None`.

    Example:

    >>> import keras_decorr
    >>> model = keras_decorr.models.conv_net((8, 8, 1), 10, filters=((8,), (16,)), hidden=64)
    """
    layers = [keras.Input(input_shape)]
    for block in filters:
        for width in block:
            convolution = conv2d(width, 3, decorrelator, padding="same")
            layers += activated(convolution, batch_normalization)
        layers.append(keras.layers.MaxPooling2D(2))
    layers.append(keras.layers.Flatten())
    layers += activated(dense(hidden, decorrelator), batch_normalization)
    layers.append(dense(classes, decorrelator, activation=classifier_activation))
    return sequential(layers, decorrelator, name)
