"""Random small graphs of supported layers: decorrelated, trained, saved, loaded and folded."""

import tempfile
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keras import layers

from keras_decorr import fold
from tests.conversion.nets import assert_same, decorrelate, disturb, randomize, reloaded, steps
from tests.helpers import EAGERLY, undamped

SIZES = st.integers(1, 3)
PADDINGS = st.sampled_from(["same", "valid"])
BIAS = st.booleans()


@st.composite
def convolution(draw, channels):
    """A layer on images, with the channels it gives."""
    kind = draw(
        st.sampled_from(["conv", "grouped", "depthwise", "separable", "transposed", "pixels"])
    )
    size = (draw(SIZES), draw(SIZES))
    arguments = {
        "padding": "same" if kind == "transposed" else draw(PADDINGS),
        "use_bias": draw(BIAS),
    }
    step = draw(st.sampled_from(["plain", "strides", "dilation"]))
    if step == "strides":
        arguments["strides"] = 2
    elif step == "dilation" and kind != "transposed":
        arguments["dilation_rate"] = 2
    if kind == "conv":
        return layers.Conv2D(4, size, **arguments)
    if kind == "grouped":
        return layers.Conv2D(4, size, groups=2, **arguments)
    if kind == "depthwise":
        return layers.DepthwiseConv2D(size, **arguments)
    if kind == "separable":
        return layers.SeparableConv2D(4, size, **arguments)
    if kind == "transposed":
        return layers.Conv2DTranspose(4, size, **arguments)
    return layers.Dense(4, use_bias=arguments["use_bias"])


@st.composite
def sequence_layer(draw):
    """A function of a tensor `(batch, steps, 4)` that gives one like it."""
    kind = draw(st.sampled_from(["attention", "einsum", "steps", "conv", "lstm", "gru"]))
    bias = draw(BIAS)
    if kind == "attention":
        layer = layers.MultiHeadAttention(2, 3, use_bias=bias)
        return lambda x: layer(x, x)
    if kind == "einsum":
        return layers.EinsumDense("abc,cd->abd", (None, 4), bias_axes="d" if bias else None)
    if kind == "steps":
        return layers.TimeDistributed(layers.Dense(4, use_bias=bias))
    if kind == "conv":
        return layers.Conv1D(
            4, draw(SIZES), padding="causal", dilation_rate=draw(SIZES), use_bias=bias
        )
    recurrent = layers.LSTM if kind == "lstm" else layers.GRU
    return recurrent(4, use_bias=bias, return_sequences=True)


def fits(x, layer):
    """Whether a layer leaves anything of an image."""
    try:
        return all(layer.compute_output_shape(x.shape)[1:])
    except ValueError:
        return False


@st.composite
def models(draw):
    """A graph that branches, joins, shares layers, and may go on with a sequence."""
    i = keras.Input((9, 8, 4))
    tensors, made = [i], []
    for _ in range(draw(st.integers(1, 4))):
        x = draw(st.sampled_from(tensors))
        shared = [layer for layer in made if fits(x, layer)]
        if shared and draw(st.integers(0, 3)) == 0:
            layer = draw(st.sampled_from(shared))
        else:
            layer = draw(convolution(4))
            if not fits(x, layer):
                continue
            made.append(layer)
        y = layer(x)
        if y.shape == x.shape and draw(BIAS):
            y = layers.Add()([x, y]) if draw(BIAS) else keras.ops.tanh(x * y)
        tensors.append(y)
    x = tensors[-1]
    if draw(BIAS):
        x = layers.Reshape((-1, 4))(x) if x.shape[-1] == 4 else x
        for layer in draw(st.lists(sequence_layer(), min_size=1, max_size=2)):
            x = layer(x)
    outputs = [x, layers.Dense(2)(layers.Flatten()(draw(st.sampled_from(tensors))))]
    return keras.Model(i, outputs)


@st.composite
def decorrelators(draw):
    structure = draw(st.sampled_from(["full", "block_diagonal", "monarch", "low_rank", "channel"]))
    return {"structure": structure, "groups": draw(st.integers(1, 3))}


def examples(n):
    return settings(
        max_examples=n,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


def images(rng):
    return rng.normal(size=(2, 9, 8, 4)).astype("float32")


@examples(20)
@given(model=models(), arguments=decorrelators(), seed=st.integers(0, 2**20))
def test_round_trip(model, arguments, seed):
    rng = np.random.default_rng(seed)
    x = images(rng)
    randomize(model, rng)
    assert_same(decorrelate(model, undamped(center=False, **arguments)), model, x)
    new = decorrelate(model, undamped(**arguments))
    assert_same(new, model, x)
    disturb(new, rng)
    folded = fold(new)
    assert_same(folded, new, x, 1e-4)
    assert [layer.name for layer in folded.layers] == [layer.name for layer in model.layers]
    assert [type(layer) for layer in folded.layers] == [type(layer) for layer in model.layers]


MODELS = {
    "model": models(),
    "arguments": decorrelators(),
    "seed": st.integers(0, 2**20),
    "inplace": BIAS,
}


@examples(4)
@given(**MODELS)
def test_training_saving_and_loading(model, arguments, seed, inplace):
    check_training_saving_and_loading(model, arguments, seed, inplace)


@pytest.mark.slow
@examples(1000)
@given(**MODELS)
def test_training_saving_and_loading_of_a_thousand(model, arguments, seed, inplace):
    check_training_saving_and_loading(model, arguments, seed, inplace)
    keras.utils.clear_session()


def check_training_saving_and_loading(model, arguments, seed, inplace):
    rng = np.random.default_rng(seed)
    x = images(rng)
    y = [rng.normal(size=output.shape).astype("float32") for output in model(x)]
    model.compile(keras.optimizers.SGD(1e-3), "mse", **EAGERLY)
    new = decorrelate(model, undamped(1e-3, **arguments), inplace=inplace)
    new.fit(x, y, verbose=0)
    assert set(steps(new)) == {1}
    with tempfile.TemporaryDirectory() as folder:
        again = reloaded(new, Path(folder))
        assert_same(again, new, x)
        folded = fold(again, inplace=inplace)
        assert_same(folded, new, x, 1e-4)
        assert_same(reloaded(folded, Path(folder)), new, x, 1e-4)
