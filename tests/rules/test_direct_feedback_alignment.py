"""Direct feedback alignment: the equations, graphs with branches and skips, what it refuses."""

import keras
import numpy as np
import pytest

import keras_decorr
from keras_decorr.backend.keras_internals import attention_projections
from keras_decorr.layers import DecorConv2D, DecorDense, DecorMultiHeadAttention
from keras_decorr.rules import DirectFeedbackAlignment
from keras_decorr.rules.graph import linear_maps
from keras_decorr.training import gradients
from tests import reference_rules
from tests.helpers import EAGERLY, perturb, relative_error, whole_batches
from tests.reference_rules import softmax
from tests.rules.nets import (
    assert_close,
    compiled,
    data,
    decorrelator,
    double,
    feedback,
    net,
    numpy,
    twin,
)

RULE = "direct_feedback_alignment"


@pytest.mark.parametrize(
    ("kind", "decorr", "rows"),
    [
        ("dense", True, 18),  # of 18 rows one layer applies M and the others fold it
        ("dense", True, 7),
        ("dense", False, 18),
        ("conv", True, 7),
        ("conv", False, 7),
    ],
)
def test_gradients_equal_float64_to_1e_5(kind, decorr, rows, rng):
    model = net(kind, RULE, rng, decorr)
    x, y = data(model, rng, rows)
    maps = twin(model)
    expected = reference_rules.gradients(maps, x.astype("float64"), y, RULE, feedback(model, 0))
    assert_close(gradients(model, x, y), expected)


def test_inputs_that_are_not_centred(rng):
    model = net("conv", RULE, rng, center=False)
    x, y = data(model, rng, 7)
    maps = twin(model)
    expected = reference_rules.gradients(maps, x.astype("float64"), y, RULE, feedback(model, 0))
    assert_close(gradients(model, x, y), expected)


def test_branches_skips_and_two_outputs_equal_numpy(rng):
    """What several maps take gets the sum of their errors; what the loss takes, its gradient, too."""

    def dense(units, activation=None):
        return DecorDense(units, activation, decorrelator=None)

    inputs = keras.Input((6,))
    h1 = dense(5, "tanh")(inputs)
    h2 = dense(5, "tanh")(h1)
    h3 = dense(4, "tanh")(h1)
    first = dense(3)(keras.layers.Add()([h1, h2]))
    second = dense(2)(h3)
    model = keras_decorr.Model(inputs, [first, second])
    compiled(model, DirectFeedbackAlignment(seed=1), loss=["mse", "mse"], loss_weights=[1.0, 0.5])
    x = rng.normal(size=(7, 6)).astype("float32")
    targets = [rng.normal(size=(7, m)).astype("float32") for m in (3, 2)]
    W = [(double(layer.kernel), double(layer.bias)) for layer in linear_maps(model)]
    names = [layer.kernel.shape for layer in linear_maps(model)]
    assert names == [(6, 5), (5, 5), (5, 4), (5, 3), (4, 2)]
    (W1, b1), (W2, b2), (W3, b3), (W4, b4), (W5, b5) = W
    y1 = np.tanh(x @ W1 + b1)
    y2, y3 = np.tanh(y1 @ W2 + b2), np.tanh(y1 @ W3 + b3)
    e1 = 2 * ((y1 + y2) @ W4 + b4 - targets[0]) / (7 * 3)
    e2 = 0.5 * 2 * (y3 @ W5 + b5 - targets[1]) / (7 * 2)
    to = [None] + [
        e1 @ B1.T + e2 @ B2.T
        for B1, B2 in zip(feedback(model, 0)[1:], feedback(model, 1)[1:], strict=True)
    ]
    d2, d3 = to[3] * (1 - y2**2), to[4] * (1 - y3**2)
    d1 = (to[1] + to[2] + to[3]) * (1 - y1**2)
    expected = [
        (x.T @ d1, d1.sum(0)),
        (y1.T @ d2, d2.sum(0)),
        (y1.T @ d3, d3.sum(0)),
        ((y1 + y2).T @ e1, e1.sum(0)),
        (y3.T @ e2, e2.sum(0)),
    ]
    assert_close(gradients(model, x, targets), expected)


def images(head, rng):
    """A graph with a skip and a bit of everything that may lie between linear maps."""
    keras.utils.set_random_seed(2)
    inputs = keras.Input((6, 6, 2))
    h = DecorConv2D(4, 3, padding="same", activation="relu", decorrelator=decorrelator())(inputs)
    h = keras.layers.BatchNormalization()(h)
    h = keras.layers.MaxPooling2D()(h)
    h = keras.layers.Dropout(0.3, seed=1)(h)
    skip = h
    h = DecorConv2D(4, 3, padding="same", decorrelator=decorrelator())(h)
    h = keras.layers.Activation("tanh")(keras.layers.Add()([h, skip]))
    h = keras.layers.Flatten()(h)
    h = keras.layers.Concatenate()([
        DecorDense(8, "tanh", decorrelator=decorrelator())(h),
        DecorDense(8, "tanh", decorrelator=None)(h),
    ])  # fmt: skip
    out = DecorDense(3, "softmax" if head == "inside" else None, decorrelator=decorrelator())(h)
    if head == "layer":
        out = keras.layers.Softmax()(out)
    if head == "activation":
        out = keras.layers.Activation("softmax")(out)
    if head == "reshaped":
        out = keras.layers.Softmax()(keras.layers.Reshape((3,))(out))
    model = keras_decorr.Model(inputs, out)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=head == "logits")
    return compiled(model, DirectFeedbackAlignment(seed=4), rng, loss=loss)


def test_it_does_not_matter_how_the_softmax_is_written():
    found = {}
    for head in ("logits", "inside", "layer", "activation", "reshaped"):
        rng = np.random.default_rng(0)
        model = images(head, rng)
        found[head] = gradients(model, *data(model, rng, 7))
    for head, values in found.items():
        for a, b in zip(values, found["logits"], strict=True):
            assert np.linalg.norm(b) > 0
            assert relative_error(a, b) < 1e-4, head


def test_all_of_a_graph_with_normalisation_and_dropout_trains(rng):
    model = images("inside", rng)
    before = [numpy(v).copy() for v in model.trainable_variables]
    model.fit(*data(model, rng, whole_batches(20, 8)), batch_size=8, epochs=1, verbose=0)
    for v, b in zip(model.trainable_variables, before, strict=True):
        assert np.all(np.isfinite(numpy(v)))
        assert np.any(numpy(v) != b)


def test_behind_an_output_with_weights_the_error_is_that_of_the_output(rng):
    keras.utils.set_random_seed(2)
    model = keras_decorr.Sequential(
        [
            keras.Input((6,)),
            DecorDense(5, decorrelator=None),
            DecorDense(3, decorrelator=None),
            keras.layers.LayerNormalization(),
        ]
    )
    compiled(model, RULE)
    x, y = data(model, rng, 8)
    e = (softmax(double(model(x))) - np.eye(3)[y]) / len(y)
    db = gradients(model, x, y)[1]
    np.testing.assert_allclose(db, (e @ feedback(model, 0)[1].T).sum(0), rtol=1e-4, atol=1e-6)


def test_a_layer_that_is_called_twice_hears_twice(rng):
    shared = DecorDense(6, decorrelator=decorrelator())
    inputs = keras.Input((6,))
    h = DecorDense(6, "tanh", decorrelator=None)(inputs)
    model = keras_decorr.Model(inputs, DecorDense(3, decorrelator=None)(shared(shared(h))))
    compiled(model, RULE, **EAGERLY)
    perturb(shared.decorrelation, rng)
    assert len(feedback(model, 0)) == 3
    model.fit(*data(model, rng, whole_batches(20, 8)), batch_size=8, epochs=1, verbose=0)
    assert all(np.all(np.isfinite(numpy(w))) for w in model.weights)


def test_images_of_any_size_are_refused():
    model = keras_decorr.Sequential(
        [
            keras.Input((None, None, 2)),
            DecorConv2D(4, 3),
            DecorConv2D(4, 3),
            keras.layers.GlobalAveragePooling2D(),
            DecorDense(3),
        ]
    )
    with pytest.raises(ValueError, match=r"must know the sizes.*None.*decor_conv2d"):
        compiled(model, RULE)


def test_a_subclassed_model_is_refused():
    class Own(keras_decorr.Model):
        def __init__(self):
            super().__init__()
            self.out = DecorDense(3)

        def call(self, x):
            return self.out(x)

    with pytest.raises(ValueError, match=r"'direct_feedback_alignment'.*Functional.*Own"):
        compiled(Own(), RULE)


def test_arguments_out_of_their_range_are_refused_by_name():
    for arguments, name in (
        ({"feedback_initializer": "nope"}, "feedback_initializer"),
        ({"feedback_scale": -1.0}, "feedback_scale"),
        ({"seed": 0.5}, "seed"),
    ):
        with pytest.raises(ValueError, match=f"`{name}` of DirectFeedbackAlignment"):
            DirectFeedbackAlignment(**arguments)


def test_the_error_reaches_the_tokens_before_attention(rng):
    """By the sum of the B of query, key and value; and all projections learn."""
    inputs = keras.Input((4, 3))
    first = DecorDense(6, "tanh", decorrelator=None)
    attention = DecorMultiHeadAttention(2, 4, decorrelator=None)
    h = first(inputs)
    outputs = DecorDense(3, decorrelator=None)(keras.layers.Flatten()(attention(h, h)))
    model = keras_decorr.Model(inputs, outputs)
    compiled(model, RULE, loss="mse")
    x = rng.normal(size=(7, 4, 3)).astype("float32")
    y = rng.normal(size=(7, 3)).astype("float32")
    e = 2 * (double(model(x)) - y) / y.size
    projections = attention_projections(attention)
    B = sum(
        double(model.learning_rule_state.of(projections[role], 0))
        for role in ("query", "key", "value")
    )
    H = double(first(x))
    delta = (e @ B.T).reshape(H.shape) * (1 - H**2)
    found = gradients(model, x, y)
    np.testing.assert_allclose(found[0], np.einsum("btn,btm->nm", x, delta), rtol=1e-4, atol=1e-6)
    assert all(np.abs(gradient).max() > 0 for gradient in found[::2])


def test_attention_over_sequences_of_unknown_length_is_refused_in_compile():
    inputs = keras.Input((None, 3))
    h = DecorMultiHeadAttention(2, 4)(inputs, inputs)
    model = keras_decorr.Model(inputs, DecorDense(3)(keras.layers.GlobalAveragePooling1D()(h)))
    with pytest.raises(ValueError, match="must know the sizes of all layers"):
        compiled(model, RULE)
