"""Builds the fully connected net of N. Ahmad, arXiv 2407.10780: four hidden layers of 1000."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_decorr.decorrelators import Decorrelator
from keras_decorr.models.nets import Parts


def dense_net(
    input_shape: Sequence[int],
    classes: int,
    decorrelator: Decorrelator | str | None = "norm_preserving",
    hidden: Sequence[int] = (1000, 1000, 1000, 1000),
    batch_normalization: bool = False,
    classifier_activation: str | Callable[..., Any] | None = "softmax",
    for_any_rule: bool = False,
    kernel_initializer: Any = "glorot_uniform",
    name: str = "dense_net",
) -> keras.Model:
    """Builds a fully connected classifier with leaky ReLU (slope 0.01).

    Args:
        input_shape: Shape of one input, such as `(32, 32, 3)`. It is flattened.
        classes: Number of classes.
        decorrelator: Decorrelator of every layer, or `None` for a net without decorrelation.
            Defaults to `"norm_preserving"`.
        hidden: Units of the hidden layers. Defaults to four of 1000, as in the paper.
        batch_normalization: Put `keras.layers.BatchNormalization` before each activation. Defaults to
            False.
        classifier_activation: Activation of the output; `None` returns logits. Defaults to
            `"softmax"`, as in keras.applications.
        for_any_rule: Makes a difference with `decorrelator=None` alone. False (default): a plain
            Keras model, which learns by backpropagation. True: the same net, with the same initial
            weights, that takes any `learning_rule` in `compile`.
        kernel_initializer: Initializer of all kernels. Defaults to Keras's own. For feedback alignment
            use `keras_decorr.models.FAN_IN_UNIFORM`, the paper's.
        name: Name of the model.

    Returns:
        A model whose linear layers are called `hidden_1`, `hidden_2`, ... and `output`: a
        `keras_decorr.Sequential`, or a `keras.Sequential` if it is to be a plain Keras model.

    Example:

    >>> import keras_decorr
    >>> model = keras_decorr.models.dense_net((8, 8, 1), 10, hidden=(64, 64))
    """
    parts = Parts(decorrelator, for_any_rule, batch_normalization, kernel_initializer)
    layers = [keras.Input(input_shape), keras.layers.Flatten()]
    for i, units in enumerate(hidden, 1):
        layers += parts.activated(parts.dense(units, name=f"hidden_{i}"))
    layers.append(parts.dense(classes, activation=classifier_activation, name="output"))
    return parts.sequential(layers, name)
