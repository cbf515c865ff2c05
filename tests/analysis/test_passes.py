"""What the layers of a model see on a batch, and the gradient with respect to their outputs."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_decorr
from keras_decorr.analysis.passes import Passes, is_measured, numpy64
from keras_decorr.layers import DecorConv2D, DecorDense, DecorDepthwiseConv2D
from tests.helpers import undamped


def test_calls_and_pullback_of_two_dense_layers(rng):
    first = DecorDense(4, decorrelator=undamped(structure="full"))
    second = DecorDense(3, decorrelator=None)
    model = keras_decorr.Sequential([keras.Input((5,)), first, second])
    x = rng.normal(size=(6, 5)).astype("float32")
    passes = Passes(model, ops.convert_to_tensor(x))
    assert [call.layer for call in passes.calls] == [first, second]
    ((part, rows),) = passes.calls[0].rows()
    assert part == slice(0, 6)
    np.testing.assert_allclose(rows[:, 0], x, rtol=1e-6)
    np.testing.assert_allclose(passes.calls[0].centre(5), x.mean(0), atol=1e-6)
    np.testing.assert_array_equal(passes.calls[1].centre(4), np.zeros(4))
    cotangent = rng.normal(size=(6, 3)).astype("float32")
    hidden, output = (numpy64(g) for g in passes.pull(ops.convert_to_tensor(cotangent)))
    np.testing.assert_allclose(output, cotangent, rtol=1e-6)
    np.testing.assert_allclose(hidden, cotangent @ numpy64(second.kernel).T, rtol=1e-4, atol=1e-6)


def test_rows_of_a_convolution_are_its_patches(rng):
    layer = DecorConv2D(2, (3, 2), decorrelator=None)
    model = keras_decorr.Sequential([keras.Input((5, 4, 2)), layer])
    x = rng.normal(size=(3, 5, 4, 2)).astype("float32")
    (call,) = Passes(model, ops.convert_to_tensor(x)).calls
    ((_, rows),) = call.rows()
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 2), (1, 2))
    expected = windows.transpose(0, 1, 2, 4, 5, 3).reshape(3, 9, 12)
    np.testing.assert_allclose(rows, expected, rtol=1e-6)


def test_which_layers_are_measured():
    frozen, grouped = DecorDense(3), DecorConv2D(4, 2, groups=2)
    depthwise = DecorDepthwiseConv2D(2)
    dense = DecorDense(3)
    for layer, shape in (
        (frozen, (None, 4)),
        (dense, (None, 4)),
        (grouped, (None, 5, 5, 4)),
        (depthwise, (None, 5, 5, 4)),
    ):
        layer.build(shape)
    frozen.trainable = False
    assert [is_measured(v) for v in (dense, frozen, grouped, depthwise)] == [True, *[False] * 3]


def test_two_outputs_are_refused():
    inputs = keras.Input((4,))
    model = keras_decorr.Model(inputs, [DecorDense(2)(inputs), DecorDense(2)(inputs)])
    with pytest.raises(ValueError, match=r"must have one output. Received: .* with 2"):
        Passes(model, ops.ones((3, 4)))
