"""The fully connected net of N. Ahmad, arXiv 2407.10780: four hidden layers of 1000."""

import keras

from keras_decorr.models.nets import activated, dense, sequential


def dense_net(
    input_shape,
    classes,
    decorrelator="norm_preserving",
    hidden=(1000, 1000, 1000, 1000),
    batch_normalization=False,
    classifier_activation="softmax",
    name="dense_net",
):
    """A fully connected classifier with leaky ReLU (slope 0.01).

    Args:
        input_shape: Shape of one input, such as `(32, 32, 3)`. It is flattened.
        classes: Number of classes.
        decorrelator: Decorrelator of every layer, or `None` for a plain Keras model.
        hidden: Units of the hidden layers.
        batch_normalization: Put `keras.layers.BatchNormalization` before each activation.
        classifier_activation: Activation of the output; `None` returns logits.
        name: Name of the model.

    Returns:
        A `keras_decorr.Sequential`, or a `keras.Sequential` if `decorrelator` is `None`.

    Example:

    >>> import keras_decorr
    >>> model = keras_decorr.models.dense_net((8, 8, 1), 10, hidden=(64, 64))
    """
    layers = [keras.Input(input_shape), keras.layers.Flatten()]
    for units in hidden:
        layers += activated(dense(units, decorrelator), batch_normalization)
    layers.append(dense(classes, decorrelator, activation=classifier_activation))
    return sequential(layers, decorrelator, name)
