"""Every layer type, decorrelated and folded back."""

import keras
import pytest
from keras import layers

from keras_decorr import fold
from keras_decorr.conversion.registry import decorrelating
from tests.conversion.nets import assert_same, decorrelate, disturb, round_trip
from tests.helpers import undamped

IMAGE, STEPS, VOLUME = (9, 7, 4), (7, 4), (5, 6, 5, 2)
# The layer, and the shape of its inputs.
LAYERS = {
    "Dense": (lambda: layers.Dense(5, activation="relu"), (6,)),
    "Dense on steps, no bias": (lambda: layers.Dense(5, use_bias=False), STEPS),
    "EinsumDense": (
        lambda: layers.EinsumDense("abc,cde->abde", (None, 2, 3), bias_axes="e"),
        STEPS,
    ),
    "EinsumDense over two axes": (
        lambda: layers.EinsumDense("abcd,cde->abe", (None, 5)),
        (3, 4, 2),
    ),
    "EinsumDense with an ellipsis": (lambda: layers.EinsumDense("...b,bc->...c", 5), STEPS),
    "Conv1D": (lambda: layers.Conv1D(3, 3, strides=2, padding="causal"), STEPS),
    "Conv2D": (lambda: layers.Conv2D(3, (3, 2), strides=2, padding="same"), IMAGE),
    "Conv2D, dilated": (lambda: layers.Conv2D(3, 3, dilation_rate=2, padding="same"), IMAGE),
    "Conv2D, groups": (lambda: layers.Conv2D(6, 3, groups=2, padding="same"), IMAGE),
    "Conv2D, depthwise groups": (lambda: layers.Conv2D(8, 3, groups=4), IMAGE),
    "Conv2D, no bias": (lambda: layers.Conv2D(3, 3, padding="same", use_bias=False), IMAGE),
    "Conv3D": (lambda: layers.Conv3D(3, 2, strides=2, padding="same"), VOLUME),
    "Conv1DTranspose": (lambda: layers.Conv1DTranspose(3, 3, strides=2, padding="same"), STEPS),
    "Conv2DTranspose": (lambda: layers.Conv2DTranspose(3, 3, strides=2, padding="same"), IMAGE),
    "Conv3DTranspose": (lambda: layers.Conv3DTranspose(3, 2, strides=2), VOLUME),
    "DepthwiseConv1D": (lambda: layers.DepthwiseConv1D(3, depth_multiplier=2), STEPS),
    "DepthwiseConv2D": (lambda: layers.DepthwiseConv2D(3, strides=2, padding="same"), IMAGE),
    "SeparableConv1D": (lambda: layers.SeparableConv1D(5, 3, padding="same"), STEPS),
    "SeparableConv2D": (
        lambda: layers.SeparableConv2D(5, 3, padding="same", use_bias=False),
        IMAGE,
    ),
    "TimeDistributed Dense": (lambda: layers.TimeDistributed(layers.Dense(5)), STEPS),
    "TimeDistributed Conv2D": (
        lambda: layers.TimeDistributed(layers.Conv2D(3, 3, padding="same")),
        (3, *IMAGE),
    ),
    "LSTM": (lambda: layers.LSTM(5, return_sequences=True), STEPS),
    "GRU": (lambda: layers.GRU(5), STEPS),
    "GRU, one bias": (lambda: layers.GRU(5, reset_after=False, use_bias=False), STEPS),
    "SimpleRNN": (lambda: layers.SimpleRNN(5, go_backwards=True), STEPS),
}


@pytest.mark.parametrize("name", sorted(LAYERS))
def test_round_trip(name, rng):
    make, shape = LAYERS[name]
    model = keras.Sequential([keras.Input(shape), make()])
    original = model.layers[0]
    x = (rng.normal(size=(3, *shape)) + 0.2).astype("float32")
    decorrelated, folded = round_trip(model, x, rng)
    (row,) = decorrelated.conversion_report.rows
    assert row.converted and row.path == original.name and row.into.startswith("Decor")
    assert row.features and row.structure
    assert [type(layer) for layer in folded.layers] == [type(original)]
    assert folded.layers[0].name == original.name


@pytest.mark.parametrize("structure", ["full", "block_diagonal", "low_rank", "channel", "auto"])
def test_every_structure_of_M(structure, rng):
    inputs = keras.Input(IMAGE)
    x = layers.Conv2D(8, 3, padding="same", use_bias=False)(inputs)
    x = layers.DepthwiseConv2D(3)(x)
    x = layers.Flatten()(layers.SeparableConv2D(4, 3)(x))
    model = keras.Model(inputs, layers.Dense(3)(x))
    new = decorrelate(model, undamped(structure=structure))
    rows = {row.type: row for row in new.conversion_report.rows}
    assert rows["DepthwiseConv2D"].converted == (structure != "channel")
    if structure == "channel":
        assert "single channel" in rows["DepthwiseConv2D"].reason
        assert rows["Conv2D"].features == 4
    data = rng.normal(size=(2, *IMAGE)).astype("float32")
    assert_same(new, model, data)
    disturb(new, rng)
    assert_same(fold(new), new, data, 1e-4)


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize(
    "make",
    [
        # Keras's own takes no other size of values on JAX.
        lambda **arguments: layers.MultiHeadAttention(
            2, 3, value_dim=3 if keras.backend.backend() == "jax" else 4, **arguments
        ),
        lambda **arguments: layers.GroupQueryAttention(4, 4, 2, **arguments),
    ],
)
def test_attention(make, use_bias, rng):
    query, value = keras.Input((5, 6)), keras.Input((7, 6))
    attention = make(use_bias=use_bias)
    model = keras.Model([query, value], attention(query, value))
    x = [rng.normal(size=(2, steps, 6)).astype("float32") for steps in (5, 7)]
    decorrelated, folded = round_trip(model, x, rng)
    assert decorrelated.conversion_report.rows[0].into in ALL_ATTENTION
    assert type(attention) in {type(x) for x in folded.layers}


def test_a_recurrent_decoder_starts_from_the_state_of_its_encoder(rng):
    inputs = keras.Input(STEPS)
    y, h, c = layers.LSTM(3, return_sequences=True, return_state=True, name="encoder")(inputs)
    y = layers.LSTM(3, name="decoder")(y, initial_state=[h, c])
    x = rng.normal(size=(2, *STEPS)).astype("float32")
    decorrelated, _ = round_trip(keras.Model(inputs, y), x, rng)
    assert [row.into for row in decorrelated.conversion_report.rows] == ["DecorRNN"] * 2


ALL_ATTENTION = ("DecorMultiHeadAttention", "DecorGroupQueryAttention")
LEFT = {
    "Embedding": (lambda: layers.Embedding(9, 3), (4,), "lookup"),
    "BatchNormalization": (lambda: layers.BatchNormalization(), (4,), "each feature alone"),
    "PReLU": (lambda: layers.PReLU(), (4,), "each feature alone"),
    "Bidirectional": (lambda: layers.Bidirectional(layers.LSTM(2)), STEPS, "go_backwards=True"),
    "RNN": (lambda: layers.RNN(layers.LSTMCell(2)), STEPS, "cell LSTMCell"),
    "ConvLSTM1D": (lambda: layers.ConvLSTM1D(2, 3), (3, 5, 2), "inside a recurrent cell"),
    "EinsumDense": (lambda: layers.EinsumDense("abc,bcd->abd", (7, 2)), STEPS, "DecorEinsumDense"),
    "TimeDistributed": (
        lambda: layers.TimeDistributed(layers.BatchNormalization()),
        STEPS,
        "inside: acts on each",
    ),
    "Scale": (lambda: layers.Attention(use_scale=True), None, "no function decorrelates"),
}


@pytest.mark.parametrize("name", sorted(LEFT))
def test_what_is_left_alone_and_why(name, rng):
    make, shape, reason = LEFT[name]
    layer = make()
    a = b = keras.Input(shape or STEPS)
    y = layer(a) if shape else layer([a, a])
    model = keras.Model(b, [layers.Flatten()(y), layers.Dense(2, name="head")(layers.Flatten()(a))])
    new = decorrelate(model)
    rows = {row.path: row for row in new.conversion_report.rows}
    assert rows["head"].converted and not rows[layer.name].converted
    assert reason in rows[layer.name].reason
    assert rows[layer.name].into is None
    assert reason.split()[0] in str(new.conversion_report)


def test_every_layer_type_of_keras_with_a_kernel_is_known():
    names = [
        "Dense",
        "EinsumDense",
        "Embedding",
        "MultiHeadAttention",
        "GroupQueryAttention",
        "TimeDistributed",
    ]
    names += [
        name for name in dir(layers) if "Conv" in name and isinstance(getattr(layers, name), type)
    ]
    names += ["LSTM", "GRU", "SimpleRNN", "RNN", "Bidirectional", "ReversibleEmbedding"]
    for name in names:
        assert getattr(layers, name) in decorrelating._functions, name
