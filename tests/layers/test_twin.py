"""In place: a Keras layer becomes a decorrelating one where it is, and plain again."""

import inspect

import keras
import numpy as np
import pytest

from keras_decorr.backend.keras_internals import flatten_layers, nodes
from keras_decorr.layers import (
    DecorConv2D,
    DecorDense,
    DecorDepthwiseConv2D,
    DecorEinsumDense,
    DecorMultiHeadAttention,
)
from keras_decorr.layers.twin import TWINS, built_shape, register, signature
from tests.helpers import perturb, undamped
from tests.layers.twins import ALL, copy_of, decorrelations, numpy

_L = keras.layers
# Of every twin one layer, and the shapes of its inputs.
EVERY = {
    **{cls: (arguments, [shape]) for cls, arguments, shape in ALL.values()},
    _L.MultiHeadAttention: ({"num_heads": 2, "key_dim": 3}, [(5, 6), (4, 6)]),
    _L.GroupQueryAttention: (
        {"head_dim": 4, "num_query_heads": 4, "num_key_value_heads": 2},
        [(5, 6), (4, 6)],
    ),
    _L.TimeDistributed: ({"layer": _L.Dense(3)}, [(4, 6)]),
}


def twins():
    return [cls for cls in TWINS if cls.__module__.startswith("keras.")]


def model_of(cls, rng):
    """A functional model with one layer, biases and all drawn; the layer; inputs."""
    arguments, shapes = EVERY[cls]
    inputs = [keras.Input(shape) for shape in shapes]
    layer = cls.from_config(cls(**arguments, name="mine").get_config())
    model = keras.Model(inputs, layer(*inputs))
    for variable in layer.trainable_weights:
        variable.assign(rng.normal(size=variable.shape) * 0.3)
    return model, layer, [rng.normal(size=(6, *shape)).astype("float32") for shape in shapes]


def decorrelating(cls, rng):
    """The model, its layer attached, M and mean far from those of the start, and inputs."""
    model, layer, x = model_of(cls, rng)
    TWINS[cls].attach(layer, undamped(1e-2, structure="full"))
    for part in decorrelations(layer):
        perturb(part, rng)
        if part.decorrelator.center:
            part.moving_mean.assign(rng.normal(size=part.moving_mean.shape))
    return model, layer, x


def state_of(layer):
    """Classes, weights and configurations, of a layer and of all inside."""
    return [
        (type(part), [id(v) for v in part.weights], part.get_config())
        for part in flatten_layers(layer)
    ]


def test_every_twin_is_tried_here():
    assert {*EVERY} == {*twins()}


@pytest.mark.parametrize("cls", twins(), ids=lambda cls: cls.__name__)
def test_attaching_keeps_weights_names_calls_and_outputs(cls, rng):
    model, layer, x = model_of(cls, rng)
    expected = numpy(model(x))
    weights, (node,) = [(id(v), v.path) for v in layer.weights], nodes(layer)
    assert TWINS[cls].attach(layer, undamped(1e-2)) is None
    assert type(layer) is TWINS[cls]
    assert isinstance(layer, cls)
    assert decorrelations(layer)
    kept = [(id(v), v.path) for v in layer.weights]
    assert [v for v in kept if v in weights] == weights
    assert layer.name == "mine" and model.get_layer("mine") is layer
    assert [call is node for call in nodes(layer)] == [True]
    np.testing.assert_allclose(numpy(model(x)), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("cls", twins(), ids=lambda cls: cls.__name__)
def test_m_of_an_attached_layer_moves_where_keras_tells_that_it_is_trained(cls, rng):
    model, layer, x = model_of(cls, rng)
    TWINS[cls].attach(layer, undamped(1e-2))
    model(x, training=True)
    assert {int(part.steps) for part in decorrelations(layer)} == {1}


@pytest.mark.parametrize("cls", twins(), ids=lambda cls: cls.__name__)
def test_what_is_added_lies_within_the_paths_of_the_layer(cls, rng):
    _, layer, _ = model_of(cls, rng)
    TWINS[cls].attach(layer, undamped(1e-2))
    for part in decorrelations(layer):
        assert part.path.startswith(f"{layer.path}/")
        assert all(v.path.startswith(f"{part.path}/") for v in part.variables)


@pytest.mark.parametrize("cls", twins(), ids=lambda cls: cls.__name__)
def test_detaching_gives_back_the_class_its_call_and_its_configuration(cls, rng):
    model, layer, x = decorrelating(cls, rng)
    expected = numpy(model(x))
    layer.merge()
    layer.detach()
    for part in flatten_layers(layer):
        assert type(part).__module__.startswith("keras.")
    assert type(layer) is cls
    # Keras passes `training` and `mask` on where it found them in `call`: also in the graph's own call.
    np.testing.assert_allclose(numpy(model(x, training=True)), expected, rtol=1e-4, atol=1e-5)
    fresh = cls.from_config(layer.get_config())
    assert inspect.signature(layer.call) == inspect.signature(fresh.call)
    assert layer.call_signature_parameters == fresh.call_signature_parameters
    again = keras.Model.from_config(model.get_config())
    again.set_weights(model.get_weights())
    np.testing.assert_allclose(numpy(again(x)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cls", twins(), ids=lambda cls: cls.__name__)
def test_detaching_alone_leaves_nothing_behind(cls, rng):
    model, layer, x = model_of(cls, rng)
    before, expected = state_of(layer), numpy(model(x))
    TWINS[cls].attach(layer, undamped(1e-2))
    assert state_of(layer) != before
    layer.detach()
    assert state_of(layer) == before
    np.testing.assert_array_equal(numpy(model(x)), expected)


def test_a_layer_that_was_called_as_a_decorrelating_one_is_called_as_a_plain_one(rng):
    inputs = keras.Input((5, 5, 2))
    layer = DecorConv2D(3, 2)
    model = keras.Model(inputs, layer(inputs, training=True, mask=None))
    layer.merge()
    layer.detach()
    x = rng.normal(size=(4, 5, 5, 2)).astype("float32")
    expected = numpy(layer(x))
    np.testing.assert_array_equal(numpy(model(x, training=True)), expected)
    with pytest.raises(TypeError, match="training"):
        layer.call(x, training=True)


def test_every_layer_gets_a_decorrelator_of_its_own():
    rule = undamped(1e-2)
    found = []
    for _ in range(2):
        layer = _L.Dense(3)
        layer.build((None, 4))
        DecorDense.attach(layer, rule)
        found.append(layer.decorrelator)
    assert found[0] is not found[1] and rule not in found
    assert [each.learning_rate for each in found] == [1e-2, 1e-2]


def test_without_a_decorrelator_the_class_alone_changes(rng):
    layer = _L.Conv2D(3, 2)
    x = rng.normal(size=(2, 5, 5, 2)).astype("float32")
    expected = numpy(layer(x))
    DecorConv2D.attach(layer, None)
    assert type(layer) is DecorConv2D
    assert (layer.decorrelator, layer.features, layer.added()) == (None, None, [])
    np.testing.assert_array_equal(numpy(layer(x, training=True)), expected)
    layer.detach()
    assert type(layer) is _L.Conv2D


def test_code_that_asks_for_attributes_of_keras_goes_on_working(rng):
    layer = _L.Conv2D(3, 2, strides=2, activation="relu", kernel_regularizer="l2")
    layer.build((None, 5, 5, 2))
    names = (
        "filters", "kernel_size", "strides", "activation", "use_bias", "kernel_regularizer",
        "kernel", "bias", "input_spec", "dtype_policy", "trainable",
    )  # fmt: skip
    before = {name: getattr(layer, name) for name in names}
    DecorConv2D.attach(layer, undamped(1e-2))
    assert {name: getattr(layer, name) for name in names} == before
    assert (layer.filters, layer.kernel_size, layer.strides) == (3, (2, 2), (2, 2))
    for name in ("units", "nonsense", "_private", "layer"):
        with pytest.raises(AttributeError, match=f"'DecorConv2D' object has no attribute '{name}'"):
            getattr(layer, name)


def merged(layer, decorrelator):
    TWINS[type(layer)].attach(layer, decorrelator)
    for part in decorrelations(layer):
        if part.decorrelator.center:
            part.moving_mean.assign(np.full(part.moving_mean.shape, 0.5, "float32"))
    layer.merge()
    layer.detach()


@pytest.mark.parametrize(
    ("cls", "arguments", "shape"),
    [
        (_L.Dense, {"units": 3}, (6,)),
        (_L.Conv2D, {"filters": 3, "kernel_size": 2}, (5, 5, 2)),
        (_L.DepthwiseConv1D, {"kernel_size": 2}, (5, 2)),
        (_L.SeparableConv1D, {"filters": 3, "kernel_size": 2}, (5, 2)),
        (_L.LSTM, {"units": 3}, (5, 2)),
        (_L.SimpleRNN, {"units": 3}, (5, 2)),
        (_L.TimeDistributed, {"layer": _L.Dense(3, use_bias=False)}, (5, 2)),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_layer_without_a_bias_gets_one_where_a_mean_has_to_go_somewhere(
    cls, arguments, shape, rng
):
    x = rng.normal(size=(3, *shape)).astype("float32")
    own = {} if "layer" in arguments else {"use_bias": False}
    for center in (False, True):
        layer = cls.from_config(cls(**arguments, **own).get_config())
        layer.build(x.shape)
        weights, expected = len(layer.weights), numpy(layer(x))
        TWINS[cls].attach(layer, undamped(center=center))
        assert layer.takes_mean == (not center)
        layer.detach()
        merged(layer, undamped(center=center))
        assert len(layer.weights) == weights + center
        inner = layer.layer if cls is _L.TimeDistributed else layer
        assert inner.use_bias == center
        outputs = numpy(layer(x))
        assert np.allclose(outputs, expected, atol=1e-5) == (not center)
        again = copy_of(layer, x.shape)
        np.testing.assert_array_equal(numpy(again(x)), outputs)


def test_the_bias_of_an_einsum_gets_the_axes_that_it_lacks(rng):
    x = rng.normal(size=(3, 4, 6)).astype("float32")
    layer = _L.EinsumDense("abc,cde->abde", (4, 2, 5), bias_axes="e")
    layer.build(x.shape)
    merged(layer, undamped())
    assert layer.bias_axes == "de" and tuple(layer.bias.shape) == (2, 5)
    np.testing.assert_array_equal(numpy(copy_of(layer, x.shape)(x)), numpy(layer(x)))


def unknown_channels():
    layer = _L.Conv2D(3, 1)
    layer.build((None, 5, 5, 2))
    return layer, undamped(), (None, 5, 5, None), "number of channels"


def pixels_of_one_channel():
    layer = _L.DepthwiseConv2D(2)
    layer.build((None, 5, 5, 2))
    return layer, undamped(rows="pixels"), None, "rows='pixels'"


def an_axis_in_inputs_and_outputs():
    layer = _L.EinsumDense("abc,bcd->abd", (4, 5))
    layer.build((None, 4, 6))
    return layer, undamped(), None, "equation='abc,bcd->abd'"


def a_last_projection_that_is_no_linear_map():
    layer = _L.MultiHeadAttention(2, 3)
    layer.build((None, 5, 6), (None, 5, 6))
    layer.output_dense.equation = "abcd,bcde->abe"
    return layer, undamped(), None, "equation='abcd,bcde->abe'"


def a_loop_over_the_steps():
    layer = _L.LSTM(3)
    layer.build((None, 5, 2))
    return layer, undamped(acts_on="gradient"), None, "no kernel whose gradient"


def a_separable_convolution_of_unknown_channels():
    layer = _L.SeparableConv2D(3, 2)
    layer.build((None, 5, 5, 2))
    return layer, undamped(), (None, 5, 5, None), "number of channels"


@pytest.mark.parametrize(
    "make",
    [
        unknown_channels,
        pixels_of_one_channel,
        an_axis_in_inputs_and_outputs,
        a_last_projection_that_is_no_linear_map,
        a_loop_over_the_steps,
        a_separable_convolution_of_unknown_channels,
    ],
    ids=lambda make: make.__name__,
)
def test_a_layer_that_cannot_be_attached_is_as_it_was(make):
    layer, decorrelator, shape, message = make()
    before, cls = state_of(layer), type(layer)
    with pytest.raises(ValueError, match=message):
        TWINS[cls].attach(layer, decorrelator, shape)
    assert state_of(layer) == before
    assert not hasattr(layer, "decorrelation")
    TWINS[cls].attach(layer, None)
    layer.detach()
    assert type(layer) is cls


def test_the_shape_for_which_a_layer_was_built():
    layer = _L.Dense(3)
    layer.build((None, 4))
    assert built_shape(layer) == (None, 4)
    layer = _L.MultiHeadAttention(2, 3)
    layer.build((None, 5, 6), (None, 4, 6))
    assert tuple(built_shape(layer)) == (None, 5, 6)
    with pytest.raises(ValueError, match="not known for which inputs the layer 'mine'"):
        built_shape(_L.Dense(3, name="mine"))


def test_the_signature_has_the_decorrelator_before_the_remaining_keywords():
    found = signature(keras.layers.Dense)
    assert list(found.parameters)[-2:] == ["decorrelator", "kwargs"]
    assert found.parameters["decorrelator"].kind is inspect.Parameter.KEYWORD_ONLY


@pytest.fixture
def registry():
    """Forgets at the end of the test what it registered."""
    known, names = dict(TWINS), dict(keras.saving.get_custom_objects())
    yield TWINS
    for registered, before in ((TWINS, known), (keras.saving.get_custom_objects(), names)):
        registered.clear()
        registered.update(before)


def test_a_twin_of_a_class_of_ones_own(registry, rng):
    class Scaled(keras.layers.Dense):
        def call(self, inputs):
            return 2.0 * super().call(inputs)

    @register
    class DecorScaled(DecorDense, Scaled):
        twin = Scaled

        def call(self, inputs, training=None, mask=None):
            return 2.0 * super().call(inputs, training, mask)

    assert registry[Scaled] is DecorScaled
    layer = Scaled(3)
    x = rng.normal(size=(40, 5)).astype("float32")
    expected = numpy(layer(x))
    DecorScaled.attach(layer, undamped(1e-2, center=False))
    np.testing.assert_allclose(numpy(layer(x)), expected, rtol=1e-5, atol=1e-6)
    config = keras.saving.serialize_keras_object(layer)
    assert type(keras.saving.deserialize_keras_object(config)) is DecorScaled
    layer.detach()
    assert type(layer) is Scaled


def test_a_twin_must_name_the_class_that_it_is_a_subclass_of(registry):
    class NoTwin(DecorDense):
        twin = None

    class Another(DecorDense):
        twin = keras.layers.Embedding

    class NoLayerOfOurs(keras.layers.Dense):
        twin = keras.layers.Dense

    for cls in (NoTwin, Another, NoLayerOfOurs):
        with pytest.raises(ValueError, match=f"as its `twin`.*Received: .*{cls.__name__}"):
            register(cls)


def test_reasons_are_those_of_the_class():
    depthwise, dense = _L.DepthwiseConv2D(2), _L.Dense(3)
    pixels = undamped(rows="pixels")
    assert "rows='pixels'" in DecorDepthwiseConv2D.reason_against(depthwise, pixels)
    assert DecorDepthwiseConv2D.reason_against(depthwise, undamped()) is None
    assert DecorDense.reason_against(dense, pixels) is None


def test_the_features_are_those_of_the_largest_m():
    layer = DecorMultiHeadAttention(2, key_dim=5)
    assert layer.features is None
    layer.build((None, 5, 6), (None, 5, 6))
    assert layer.features == 10
    assert DecorEinsumDense("ab,bc->ac", 3, decorrelator=None).features is None
