"""The linear map of every Keras layer, written out as rows of features in float64 NumPy.

A case says how a layer's inputs become rows `(N, n)`, and how decorrelated rows become the
pre-activation. Features of several parts (groups of a convolution) come part by part.
"""

from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from keras_decorr import layers
from tests import reference


@dataclass
class Case:
    """A Keras layer, its decorrelating twin, and the inputs to try them on."""

    cls: type
    arguments: dict
    shape: tuple
    parts: int = 1
    einsum: str = ""
    features: int = 1  # trailing axes of the inputs that are features
    channel: bool = False
    ours: Any = field(init=False)

    def __post_init__(self):
        self.ours = getattr(layers, f"Decor{self.cls.__name__}")

    @property
    def name(self):
        return self.cls.__name__

    def plain(self):
        return self.cls(**self.arguments)

    def rows(self, x, layer):
        """`(N, n)` from inputs, for a built Keras layer."""
        if self.channel:
            return x.reshape(-1, x.shape[-1])
        if not hasattr(layer, "kernel_size"):
            return x.reshape(-1, int(np.prod(x.shape[-self.features :])))
        patches = self._patches(x, layer)
        taps, c = int(np.prod(layer.kernel_size)), x.shape[-1]
        patches = patches.reshape(-1, taps, self.parts, c // self.parts)
        return patches.transpose(0, 2, 1, 3).reshape(len(patches), -1)

    def _patches(self, x, layer):
        return reference.patches(
            x, layer.kernel_size, layer.strides, layer.dilation_rate, layer.padding
        )

    def outputs(self, x, M, mean, layer):
        """The pre-activation for an explicit M, flat."""
        kernel = np.asarray(keras.ops.convert_to_numpy(layer.kernel), "float64")
        if self.einsum:
            U = ((self.rows(x, layer) - mean) @ M.T).reshape(x.shape)
            y = np.einsum(self.einsum, U, kernel)
        elif self.channel:
            patches = self._patches(x, layer).reshape(-1, int(np.prod(layer.kernel_size)), len(M))
            U = (patches - mean) @ M.T
            y = U.reshape(len(U), -1) @ kernel.reshape(-1, kernel.shape[-1])
        elif hasattr(layer, "kernel_size"):
            U = (self.rows(x, layer) - mean) @ M.T
            taps, c = int(np.prod(layer.kernel_size)), x.shape[-1] // self.parts
            K = kernel.reshape(taps, c, self.parts, -1).transpose(2, 0, 1, 3)
            U = U.reshape(len(U), self.parts, 1, taps * c)
            y = U @ K.reshape(self.parts, taps * c, -1)
        else:
            y = (self.rows(x, layer) - mean) @ M.T @ kernel
        if not self.einsum:
            y = y.reshape(layer.compute_output_shape(x.shape))
        if getattr(layer, "bias", None) is not None:
            y = y + np.asarray(keras.ops.convert_to_numpy(layer.bias), "float64")
        return y.reshape(-1)


def transposed(U, kernel, strides):
    """A transposed convolution without padding or bias: each pixel's patch, added where it belongs."""
    taps, filters = kernel.shape[:-2], kernel.shape[-2]
    sizes = [(n - 1) * s + max(k, s) for n, s, k in zip(U.shape[1:-1], strides, taps, strict=True)]
    y = np.zeros((len(U), *sizes, filters))
    for pixel in np.ndindex(*U.shape[1:-1]):
        for tap in np.ndindex(*taps):
            place = tuple(np.multiply(pixel, strides) + tap)
            y[(slice(None), *place)] += U[(slice(None), *pixel)] @ kernel[tap].T
    return y


def depthwise(x, M, mean, kernel, strides):
    """A depthwise convolution without padding or bias: a map of the patches of each channel.

    `M` is `(channels, taps, taps)`, `mean` `(channels, taps)`.
    """
    *taps, channels, multiplier = kernel.shape
    ones = [1] * len(taps)
    patches = reference.patches(x, taps, strides, ones, "valid").reshape(
        -1, int(np.prod(taps)), channels
    )
    K = kernel.reshape(-1, channels, multiplier)
    parts = [(patches[..., c] - mean[c]) @ M[c].T @ K[:, c] for c in range(channels)]
    return np.concatenate(parts, axis=-1)


_L = keras.layers
CASES = {
    "Dense": Case(_L.Dense, {"units": 5}, (6,)),
    "Dense, folded": Case(_L.Dense, {"units": 5}, (4, 6)),
    "EinsumDense": Case(
        _L.EinsumDense,
        {"equation": "abc,cde->abde", "output_shape": (None, 2, 5), "bias_axes": "de"},
        (4, 6),
        einsum="abc,cde->abde",
    ),
    "EinsumDense, two axes of features": Case(
        _L.EinsumDense,
        {"equation": "abcd,cde->abe", "output_shape": (None, 5)},
        (4, 2, 3),
        einsum="abcd,cde->abe",
        features=2,
    ),
    "EinsumDense, columns apart": Case(
        _L.EinsumDense,
        {"equation": "abc,cde->adbe", "output_shape": (2, None, 5), "bias_axes": "e"},
        (4, 6),
        einsum="abc,cde->adbe",
    ),
    "EinsumDense, ellipsis": Case(
        _L.EinsumDense,
        {"equation": "...x,xy->...y", "output_shape": 7, "bias_axes": "y"},
        (4, 6),
        einsum="...x,xy->...y",
    ),
    "Conv1D, causal": Case(
        _L.Conv1D,
        {"filters": 4, "kernel_size": 3, "padding": "causal", "dilation_rate": 2},
        (9, 3),
    ),
    "Conv1D, groups": Case(
        _L.Conv1D,
        {"filters": 6, "kernel_size": 3, "padding": "same", "strides": 2, "groups": 2},
        (9, 4),
        parts=2,
    ),
    "Conv2D": Case(
        _L.Conv2D,
        {"filters": 4, "kernel_size": (3, 2), "padding": "same", "strides": (1, 2)},
        (6, 7, 3),
    ),
    "Conv2D, groups, no bias": Case(
        _L.Conv2D,
        {"filters": 6, "kernel_size": 3, "padding": "same", "groups": 3, "use_bias": False},
        (5, 6, 6),
        parts=3,
    ),
    "Conv2D, channel": Case(
        _L.Conv2D, {"filters": 4, "kernel_size": (3, 2), "padding": "same"}, (6, 7, 3), channel=True
    ),
    "Conv3D": Case(
        _L.Conv3D,
        {"filters": 4, "kernel_size": (3, 2, 2), "padding": "same", "strides": 2},
        (5, 4, 6, 2),
    ),
    "DepthwiseConv1D": Case(
        _L.DepthwiseConv1D, {"kernel_size": 3, "depth_multiplier": 2}, (9, 3), parts=3
    ),
    "DepthwiseConv2D": Case(
        _L.DepthwiseConv2D,
        {"kernel_size": 3, "padding": "same", "strides": 2, "depth_multiplier": 2},
        (7, 7, 3),
        parts=3,
    ),
}

# Whose rows are pixels that come to several outputs each, or that hold several maps: checked apart.
OTHERS = {
    "Conv1DTranspose": (_L.Conv1DTranspose, {"filters": 4, "kernel_size": 3, "strides": 2}, (5, 3)),
    "Conv2DTranspose": (
        _L.Conv2DTranspose,
        {"filters": 4, "kernel_size": 3, "strides": 2, "padding": "same", "output_padding": 1},
        (5, 4, 3),
    ),
    "Conv3DTranspose": (_L.Conv3DTranspose, {"filters": 4, "kernel_size": 2}, (3, 2, 4, 3)),
    "SeparableConv1D": (
        _L.SeparableConv1D,
        {"filters": 5, "kernel_size": 3, "use_bias": False},
        (7, 3),
    ),
    "SeparableConv2D": (
        _L.SeparableConv2D,
        {
            "filters": 5, "kernel_size": 3, "padding": "same", "strides": 2,
            "depth_multiplier": 2, "activation": "tanh",
        },
        (7, 7, 3),
    ),
    "LSTM": (_L.LSTM, {"units": 5}, (7, 3)),
    "GRU": (_L.GRU, {"units": 5, "return_sequences": True}, (7, 3)),
    "GRU, reset before": (_L.GRU, {"units": 5, "reset_after": False}, (7, 3)),
    "SimpleRNN": (_L.SimpleRNN, {"units": 5, "use_bias": False}, (7, 3)),
}  # fmt: skip
