"""What a rule cannot do it says at compile, and names the layer or argument and the remedy."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_decorr
from keras_decorr.layers import DecorDense
from tests.rules.nets import compiled, data, dense_layers

RULES = ["feedback_alignment", "direct_feedback_alignment", "node_perturbation"]


def sequence(*between, cls=keras_decorr.Sequential):
    return cls(
        [
            keras.Input((6, 4)),
            *between,
            layers.Flatten(),
            DecorDense(3, decorrelator=None),
        ]
    )


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (layers.Dense(5, name="mine"), r"mine' \(Dense\).*DecorDense.*decorrelator=None"),
        (layers.LSTM(5, name="mine"), r"mine.*\(LSTM\w*\).*`trainable=False`.*backprop"),
        (layers.Conv1D(5, 3, name="mine"), r"mine' \(Conv1D\).*DecorConv1D.*decorrelator=None"),
        (layers.EinsumDense("abc,cd->abd", (6, 5), name="mine"), r"mine' \(EinsumDense\)"),
    ],
)
def test_layers_with_weights_that_it_cannot_train(rule, layer, message):
    layer = type(layer).from_config(layer.get_config())
    with pytest.raises(ValueError, match=f"'{rule}' cannot train the layer .*{message}"):
        compiled(sequence(layer), rule)


@pytest.mark.parametrize("rule", RULES)
def test_convolution_and_attention(rule):
    inputs = keras.Input((6, 5, 2))
    h = layers.Conv2D(4, 3, name="mine")(inputs)
    model = keras_decorr.Model(inputs, DecorDense(3)(layers.Flatten()(h)))
    with pytest.raises(ValueError, match=r"'mine' \(Conv2D\).*DecorConv2D"):
        compiled(model, rule)
    inputs = keras.Input((6, 4))
    h = layers.MultiHeadAttention(2, 3, name="mine")(inputs, inputs)
    model = keras_decorr.Model(inputs, DecorDense(3)(layers.Flatten()(h)))
    with pytest.raises(ValueError, match=rf"'{rule}' cannot train.*'mine.*DecorMultiHeadAttention"):
        compiled(model, rule)


@pytest.mark.parametrize("rule", RULES)
def test_a_layer_inside_another_is_found_and_a_frozen_one_is_let_be(rule, rng):
    inner = keras.Sequential([keras.Input((6, 4)), layers.LSTM(5, name="deep")], name="inner")
    model = sequence(inner)
    with pytest.raises(ValueError, match=r"deep.*LSTM"):
        compiled(model, rule)
    inner.trainable = False
    compiled(model, rule)
    model.train_on_batch(*data(model, rng, 4))


@pytest.mark.parametrize("rule", RULES)
def test_a_model_that_is_not_built_is_refused_as_soon_as_it_is(rule, rng):
    model = keras_decorr.Sequential([layers.LSTM(4, name="mine"), DecorDense(3)])
    x = rng.normal(size=(4, 6, 4)).astype("float32")
    with pytest.raises(ValueError, match=r"mine.*LSTM"):
        compiled(model, rule).fit(x, np.zeros(4, "int32"), verbose=0)
    with pytest.raises(ValueError, match=r"\(Dense\).*DecorDense"):  # this one is plain to see
        compiled(keras_decorr.Sequential([layers.Dense(4), DecorDense(3)]), rule)


@pytest.mark.parametrize("rule", RULES)
def test_nothing_to_learn(rule):
    model = keras_decorr.Sequential(dense_layers(), name="still")
    for layer in model.layers:
        layer.trainable = False
    with pytest.raises(ValueError, match=rf"'{rule}' finds nothing to learn in the model 'still'"):
        compiled(model, rule)
    empty = keras_decorr.Sequential([keras.Input((6,)), layers.Activation("softmax")])
    with pytest.raises(ValueError, match="finds nothing to learn"):
        compiled(empty, rule)


@pytest.mark.parametrize(
    "layer", [layers.Dropout(0.5), layers.BatchNormalization(), layers.GaussianNoise(0.1)]
)
def test_node_perturbation_needs_passes_that_differ_in_its_noise_alone(layer):
    layer = type(layer).from_config({**layer.get_config(), "name": "mine"})
    with pytest.raises(ValueError, match=r"'node_perturbation'.*mine' \("):
        compiled(sequence(layer), "node_perturbation")
    for rule in RULES[:2]:
        compiled(sequence(layer), rule)
