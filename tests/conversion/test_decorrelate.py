"""Models of every form and layers of every type, decorrelated and folded back; what is refused."""

import warnings

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_decorr
from keras_decorr import fold
from keras_decorr.conversion import register
from keras_decorr.decorrelators import NormPreserving
from keras_decorr.layers import DecorDense
from keras_decorr.training.model import FunctionalModel
from tests.conversion.nets import (
    assert_same,
    decorrelate,
    differs,
    disturb,
    numpy,
    outputs,
    reloaded,
    round_trip,
    steps,
)
from tests.helpers import EAGERLY, undamped

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


@pytest.fixture
def x(rng):
    return rng.normal(size=(3, 6)).astype("float32")


@pytest.fixture
def model():
    return keras.Sequential(
        [keras.Input((6,)), layers.Dense(4, name="a"), layers.Dense(2, name="b")]
    )


# --- layers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(LAYERS))
def test_round_trip(name, rng):
    make, shape = LAYERS[name]
    model = keras.Sequential([keras.Input(shape), make()])
    original = model.layers[0]
    x = (rng.normal(size=(3, *shape)) + 0.2).astype("float32")
    decorrelated, folded = round_trip(model, x, rng)
    (row,) = decorrelated.conversion_report.rows
    assert row.converted and row.path == original.name
    assert isinstance(decorrelated.layers[0], type(original))
    assert row.into == type(decorrelated.layers[0]).__name__ and row.into.startswith("Decor")
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
    into = decorrelated.conversion_report.rows[0].into
    assert into in ("DecorMultiHeadAttention", "DecorGroupQueryAttention")
    assert type(attention) in {type(x) for x in folded.layers}


def test_a_recurrent_decoder_starts_from_the_state_of_its_encoder(rng):
    inputs = keras.Input(STEPS)
    y, h, c = layers.LSTM(3, return_sequences=True, return_state=True, name="encoder")(inputs)
    y = layers.LSTM(3, name="decoder")(y, initial_state=[h, c])
    x = rng.normal(size=(2, *STEPS)).astype("float32")
    decorrelated, _ = round_trip(keras.Model(inputs, y), x, rng)
    assert [row.into for row in decorrelated.conversion_report.rows] == ["DecorLSTM"] * 2


def test_layers_inside_bidirectional_ones(rng):
    inside = layers.GRU(3, return_sequences=True, name="gru")
    model = keras.Sequential([keras.Input(STEPS), layers.Bidirectional(inside, name="both")])
    decorrelated, folded = round_trip(model, rng.normal(size=(2, *STEPS)).astype("float32"), rng)
    report = decorrelated.conversion_report
    assert [row.path for row in report.rows] == ["both/forward_gru", "both/backward_gru"]
    assert type(folded.layers[0].backward_layer) is layers.GRU


def test_a_time_distributed_layer_learns_from_all_steps(rng, tmp_path):
    model = keras.Sequential([keras.Input(STEPS), layers.TimeDistributed(layers.Dense(3))])
    model.compile("sgd", "mse", **EAGERLY)
    new = decorrelate(model)
    x = rng.normal(size=(20, *STEPS)).astype("float32") + 1
    new(x, training=True)
    mean = numpy(new.layers[0].layer.decorrelation.moving_mean)
    np.testing.assert_allclose(mean, x.reshape(-1, 4).mean(0), atol=1e-5)
    disturb(new, rng)
    again = reloaded(new, tmp_path)
    assert_same(again, new, x)
    again.fit(x, np.ones((20, 7, 3)), verbose=0)
    assert steps(again) == [2]
    assert keras.models.model_from_json(new.to_json()).count_params() == new.count_params()


@pytest.mark.parametrize("when", ["before", "after"])
def test_layers_with_lora(when, model, x, rng, tmp_path):
    def enable(model):
        model.get_layer("a").enable_lora(2)
        model.get_layer("a").lora_kernel_b.assign(rng.normal(size=(2, 4)))

    if when == "before":
        enable(model)
    new = decorrelate(model)
    assert_same(new, model, x)
    if when == "after":
        enable(new)
    disturb(new, rng)
    assert len(new.get_layer("a").trainable_variables) == 3  # the bias and both matrices
    assert_same(reloaded(new, tmp_path), new, x)
    folded = fold(new)
    assert_same(folded, new, x, 1e-4)
    assert_same(reloaded(folded, tmp_path), new, x, 1e-4)


# --- models ---------------------------------------------------------------------------------------


def test_branches_several_inputs_and_outputs_and_operations(rng):
    a, b = keras.Input((8, 8, 3), name="a"), keras.Input((5,), name="b")
    x = layers.Conv2D(4, 3, padding="same", name="left")(a)
    y = ops.relu(layers.Conv2D(4, 1, name="right")(a)) * 2.0
    x = layers.GlobalAveragePooling2D()(layers.Concatenate()([x, y]) - ops.mean(x))
    x = layers.Concatenate()([x, layers.Dense(3, name="side")(b)])
    model = keras.Model(
        {"a": a, "b": b}, {"one": layers.Dense(2, name="one")(x), "two": ops.sum(x, axis=-1)}
    )
    data = {
        "a": rng.normal(size=(3, 8, 8, 3)).astype("float32"),
        "b": rng.normal(size=(3, 5)).astype("float32"),
    }
    decorrelated, folded = round_trip(model, data, rng)
    assert isinstance(decorrelated, FunctionalModel) and type(folded) is type(model)
    report = decorrelated.conversion_report
    assert {row.path for row in report.converted} == {"left", "right", "side", "one"}
    for new in (decorrelated, folded):
        assert new.name == model.name
        assert {x.name for x in new.inputs} == {"a", "b"}
        assert set(new.output) == {"one", "two"}
        assert {layer.name for layer in new.layers} >= {"left", "right", "side", "one"}


def test_a_sequential_stays_one(x, rng):
    model = keras.Sequential([layers.Dense(4, name="a"), layers.Dense(2, name="b")], name="net")
    model.build((None, 6))
    decorrelated, folded = round_trip(model, x, rng)
    assert type(decorrelated) is keras_decorr.Sequential and type(folded) is keras.Sequential
    assert decorrelated.name == folded.name == "net"
    assert decorrelated.input_shape == (None, 6)


def test_a_shared_layer_has_one_M(rng):
    a, b = keras.Input((6,)), keras.Input((6,))
    shared = layers.Dense(4, name="shared")
    model = keras.Model([a, b], layers.Add()([shared(a), shared(b)]))
    x = [rng.normal(size=(5, 6)).astype("float32") for _ in "ab"]
    decorrelated, folded = round_trip(model, x, rng)
    assert len(decorrelated.decorrelation_layers) == 1
    assert len(decorrelated.conversion_report.rows) == 1
    assert len(folded.weights) == 2


def test_nested_and_shared_models(x, rng):
    inner = keras.Sequential(
        [keras.Input((6,)), layers.Dense(6, name="a"), layers.Dropout(0.5)], name="inner"
    )
    i = keras.Input((6,))
    middle = keras.Model(i, layers.Dense(6, name="b")(inner(inner(i))), name="middle")
    decorrelated, _ = round_trip(keras.Model(i, middle(middle(i))), x, rng)
    assert {row.path for row in decorrelated.conversion_report.rows} == {
        "middle/inner/a",
        "middle/b",
    }
    assert len(decorrelated.decorrelation_layers) == 2
    assert type(decorrelated.get_layer("middle")) is type(middle)


def test_a_nested_model_in_two_places_which_keras_cannot_load(x, rng):
    i = keras.Input((6,))
    inner = keras.Sequential([keras.Input((6,)), layers.Dense(6, name="a")], name="inner")
    middle = keras.Model(i, inner(i), name="middle")
    model = keras.Model(i, layers.Add()([middle(i), inner(i)]))
    with pytest.raises(ValueError, match="inplace=True"):
        decorrelate(model, head=True)
    before = ops.convert_to_numpy(model(x))
    assert decorrelate(model, head=True, inplace=True) is model
    assert len(model.decorrelation_layers) == 1
    np.testing.assert_allclose(ops.convert_to_numpy(model(x)), before, rtol=1e-5, atol=1e-6)


def test_one_of_our_models_with_plain_layers_is_converted_and_folds_to_keras(x, rng):
    i = keras.Input((6,))
    inner = keras_decorr.Sequential([keras.Input((6,)), layers.Dense(4)])
    model = keras_decorr.Model(i, layers.Dense(2)(inner(i)))
    decorrelated, folded = round_trip(model, x, rng)
    assert type(decorrelated) is FunctionalModel
    kinds = [type(part) for part in folded._flatten_layers()]
    assert not any(kind.__module__.startswith("keras_decorr") for kind in kinds)


@pytest.mark.parametrize("padding", ["same", "causal"])
def test_a_mask_goes_no_further_than_before(padding, rng):
    tokens = keras.Input((6,), dtype="int32")
    x = layers.Embedding(9, 4, mask_zero=True)(tokens)
    pooled = [
        layers.GlobalAveragePooling1D()(layers.Conv1D(3, 3, padding=padding)(x)),
        layers.GlobalAveragePooling1D()(layers.Dense(3)(x)),
        layers.LSTM(3)(x),
        layers.GlobalAveragePooling1D()(layers.TimeDistributed(layers.Dense(3))(x)),
    ]
    model = keras.Model(tokens, pooled)
    round_trip(model, np.array([[1, 2, 3, 0, 0, 0], [4, 5, 6, 7, 8, 0]]), rng)


def test_no_more_is_warned_of_masks_than_by_plain_layers():
    tokens = keras.Input((6,), dtype="int32")
    x = layers.Embedding(9, 4, mask_zero=True)(tokens)
    y = [layers.Conv1D(3, 3, name="a")(x), layers.SeparableConv1D(3, 3, name="b")(x)]
    model = keras.Model(tokens, [*y, layers.Dense(3, name="c")(x)])
    new = decorrelate(model)
    warned = []
    for net in (model, new):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            net(np.array([[1, 2, 3, 0, 0, 0]]))
        said = [str(w.message) for w in caught if "does not support masking" in str(w.message)]
        warned.append(sorted(text.split("'")[1] for text in said))
    assert warned == [["a", "b"]] * 2


@pytest.mark.parametrize("inplace", [False, True])
def test_steps_that_a_mask_hides_do_not_count(inplace, rng):
    i = keras.Input((3, 4))
    model = keras.Model(i, layers.Dense(2, name="dense")(layers.Masking()(i)))
    new = decorrelate(model, inplace=inplace)
    x = rng.normal(1.0, size=(5, 3, 4)).astype("float32")
    x[:, 2:] = 0.0
    new(x, training=True)
    mean = numpy(new.get_layer("dense").decorrelation.moving_mean)
    np.testing.assert_allclose(mean, x[:, :2].reshape(-1, 4).mean(0), atol=1e-5)


@pytest.mark.parametrize("inplace", [False, True])
def test_a_converted_model_trains_as_one_made_by_hand(inplace, rng):
    def net(dense, **arguments):
        return [keras.Input((6,)), dense(8, activation="relu", **arguments), dense(2, **arguments)]

    x, y = rng.normal(size=(32, 6)).astype("float32"), rng.integers(0, 2, 32)
    made = keras_decorr.Sequential(net(DecorDense, decorrelator="norm_preserving"))
    plain = keras.Sequential(net(layers.Dense))
    plain.set_weights([numpy(w) for w in made.trainable_weights])
    new = decorrelate(plain, inplace=inplace)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    for model in (made, new):
        model.compile(keras.optimizers.SGD(0.1), loss)
        model.fit(x, y, batch_size=8, shuffle=False, verbose=0)
    np.testing.assert_allclose(outputs(made, x)[0], outputs(new, x)[0], atol=1e-5)


def test_saving_and_loading_a_converted_model(x, rng, tmp_path):
    inner = keras.Sequential([keras.Input((6,)), layers.Dense(5), layers.Dense(4)])
    i = keras.Input((6,))
    model = decorrelate(keras.Model(i, layers.Dense(2)(inner(i))))
    disturb(model, rng)
    loaded = reloaded(model, tmp_path)
    np.testing.assert_array_equal(outputs(loaded, x)[0], outputs(model, x)[0])
    assert type(loaded) is type(model) and len(loaded.decorrelation_layers) == 3


def test_the_model_itself(model, x, rng):
    weights, kernel = model.get_weights(), model.layers[0].kernel
    new = keras_decorr.decorrelate(model, inplace=True, head=True)
    assert new is model and type(model) is keras_decorr.Sequential
    assert [type(layer) for layer in model.layers] == [DecorDense] * 2
    assert model.layers[0].kernel is kernel
    assert len(model.conversion_report.converted) == 2
    disturb(model, rng)
    expected = outputs(model, x)[0]
    assert fold(model, inplace=True) is model and type(model) is keras.Sequential
    np.testing.assert_allclose(outputs(model, x)[0], expected, rtol=1e-4, atol=1e-5)
    assert [tuple(w.shape) for w in model.get_weights()] == [w.shape for w in weights]


# --- a layer of the user's own --------------------------------------------------------------------


@keras.saving.register_keras_serializable(package="tests")
class Doubled(layers.Dense):
    def call(self, inputs, training=None):
        return 2.0 * super().call(inputs)


@pytest.fixture
def registered():
    from keras_decorr.layers.twin import TWINS

    @register
    class DecorDoubled(DecorDense, Doubled):
        twin = Doubled

        @classmethod
        def reason_against(cls, layer, decorrelator):
            return "a single unit" if layer.units == 1 else None

        def call(self, inputs, training=None, mask=None):
            return 2.0 * super().call(inputs, training, mask)

    yield DecorDoubled
    del TWINS[Doubled]


def test_a_layer_of_the_users_own(registered, rng, x, tmp_path):
    model = keras.Sequential([keras.Input((6,)), Doubled(4), Doubled(1), layers.Dense(2)])
    new = decorrelate(model)
    assert [row.into for row in new.conversion_report.rows] == ["DecorDoubled", None, "DecorDense"]
    assert new.conversion_report.rows[1].reason == "a single unit"
    assert_same(new, model, x)
    disturb(new, rng)
    assert differs(new, model, x)
    assert_same(reloaded(new, tmp_path), new, x)
    folded = fold(new)
    assert_same(folded, new, x, 1e-4)
    assert type(folded.layers[0]) is Doubled


# --- what is refused ------------------------------------------------------------------------------


def test_a_decorrelating_model_is_not_decorrelated_again(model):
    new = decorrelate(model, layers="a")
    with pytest.raises(ValueError, match=r"decorrelating layers already.*keras_decorr.fold"):
        decorrelate(new)
    assert len(decorrelate(fold(new)).conversion_report.converted) == 2


def test_there_must_be_something_to_convert(model):
    none = keras.Sequential([keras.Input((4,)), layers.BatchNormalization(name="norm")])
    with pytest.raises(ValueError, match=r"(?s)nothing to convert.*norm.*each feature\s+alone"):
        decorrelate(none)
    with pytest.raises(ValueError, match=r"(?s)nothing to convert.*excluded.*exclude=\['a', 'b'\]"):
        decorrelate(model, exclude=["a", "b"])
    with pytest.raises(ValueError, match=r"no decorrelating layers.*\['a', 'b'\]"):
        fold(model)


def test_the_arguments_are_checked(model):
    with pytest.raises(ValueError, match=r"`decorrelator`.*None"):
        decorrelate(model, None)
    with pytest.raises(ValueError, match=r"`decorrelator` must be one of"):
        decorrelate(model, "no_such_rule")
    with pytest.raises(ValueError, match=r"`max_features`.*Received: 0"):
        decorrelate(model, max_features=0)
    for arguments in ({"max_features": 3}, {}):
        with pytest.raises(ValueError, match=r"`above` of decorrelate .*Received: 'diagonal'"):
            decorrelate(model, above="diagonal", **arguments)
    with pytest.raises(ValueError, match=r"`above` of decorrelate .*without.*max_features=None"):
        decorrelate(model, above=None)
    with pytest.raises(ValueError, match=r"`above` of decorrelate .*Received: 'low_rank'"):
        decorrelate(model, "zca", max_features=3, above="low_rank")


def test_a_limit_that_changes_nothing_is_refused(model):
    said = (
        r"`above` of decorrelate.*above=None.*max_features=3, above='monarch'.*structure='monarch'"
    )
    with pytest.raises(ValueError, match=said):
        decorrelate(model, undamped(structure="monarch"), max_features=3)
    assert decorrelate(model, max_features=4, above="block_diagonal").conversion_report.converted


def test_a_rule_need_not_have_the_structure_above(model):
    class Full(NormPreserving):
        structures = ("full",)

    assert len(decorrelate(model, Full(structure="full")).conversion_report.converted) == 2


@pytest.mark.parametrize("inplace", [False, True])
def test_a_rank_above_the_features_is_an_error_with_the_layer_named(inplace, model, x):
    rule, expected = undamped(structure="low_rank", rank=5), outputs(model, x)[0]
    with pytest.raises(
        ValueError, match=r"(?s)layer 'b'.*`rank`.*4 here.*Received: rank=5.*`exclude`"
    ):
        decorrelate(model, rule, inplace=inplace)
    assert type(model) is keras.Sequential  # and all of it plain, though 'a' had an M already
    assert [type(layer) for layer in model.layers] == [layers.Dense] * 2
    assert len(model.weights) == 4
    np.testing.assert_array_equal(outputs(model, x)[0], expected)
    new = decorrelate(model, rule, exclude="b", inplace=inplace)
    assert [row.path for row in new.conversion_report.converted] == ["a"]
