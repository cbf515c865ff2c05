"""What the nets share: layers with or without decorrelation, and the order within a block."""

import keras

from keras_decorr.layers import DecorConv2D, DecorDense
from keras_decorr.training import Sequential

SLOPE = 0.01  # of the leaky ReLU below zero


def dense(units, decorrelator, **kwargs):
    """A dense layer, decorrelated unless `decorrelator` is `None`."""
    if decorrelator is None:
        return keras.layers.Dense(units, **kwargs)
    return DecorDense(units, decorrelator=decorrelator, **kwargs)


def conv2d(filters, kernel_size, decorrelator, **kwargs):
    """A convolution, decorrelated unless `decorrelator` is `None`."""
    if decorrelator is None:
        return keras.layers.Conv2D(filters, kernel_size, **kwargs)
    return DecorConv2D(filters, kernel_size, decorrelator=decorrelator, **kwargs)


def activated(layer, batch_normalization):
    """A linear layer and what follows it: batch normalisation, if asked for, and leaky ReLU."""
    block = [layer]
    if batch_normalization:
        block.append(keras.layers.BatchNormalization())
    return [*block, keras.layers.LeakyReLU(negative_slope=SLOPE)]


def sequential(layers, decorrelator, name):
    """The layers as a model: one that decorrelates, or a plain Keras model."""
    return (keras.Sequential if decorrelator is None else Sequential)(layers, name=name)
