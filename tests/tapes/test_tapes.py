"""The tapes give the numbers of the rules, eagerly and in a graph, and move M once a block."""

import itertools

import keras
import numpy as np
import pytest
from keras import ops

import keras_decorr
from keras_decorr.decorrelators import NormPreserving
from keras_decorr.layers import DecorConv2D, DecorDense
from keras_decorr.rules import FeedbackAlignment, NodePerturbation
from keras_decorr.tapes import FeedbackAlignmentTape, NodePerturbationTape
from keras_decorr.training import decorrelation_layers, gradients
from tests.helpers import few_of, perturb, relative_error

pytestmark = pytest.mark.usefixtures("tensorflow_only")
mean_loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
sample_loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=None)


def layers(kind, decorrelated=True):
    rule = NormPreserving(1e-2, sample_fraction=0.5, structure="full") if decorrelated else None
    arguments = {"decorrelator": rule, "activation": "tanh", "bias_initializer": "random_normal"}
    if kind == "dense":  # 20 units fold M, 5 do not, with 12 samples
        hidden = [keras.layers.Flatten(), DecorDense(20, **arguments), DecorDense(5, **arguments)]
    else:
        hidden = [
            DecorConv2D(4, 3, padding="same", **arguments),
            keras.layers.MaxPooling2D(2),
            DecorConv2D(3, 2, strides=2, **arguments),
            keras.layers.Flatten(),
        ]
    return [keras.Input((6, 6, 2)), *hidden, DecorDense(3, decorrelator=rule)]


def network(kind, rng, decorrelated=True, cls=keras_decorr.Sequential):
    model = cls(layers(kind, decorrelated))
    for layer in decorrelation_layers(model):
        perturb(layer, rng)
    return model


def data(rng, n=12):
    x = (rng.normal(size=(n, 6, 6, 2)) + 0.3).astype("float32")
    return x, rng.integers(0, 3, n).astype("int32")


def taped(tape_of, model, x, y, graph):
    """The gradients of a tape, and the tape."""
    import tensorflow as tf

    tapes = []

    def step(x, y):
        with tape_of(model) as tape:
            if isinstance(tape, NodePerturbationTape):
                loss = sample_loss(tape.tile(y), model(tape.tile(x), training=True))
            else:
                loss = mean_loss(y, model(x, training=True))
        tapes.append(tape)
        return tape.gradient(loss, model.trainable_variables)

    found = (tf.function(step) if graph else step)(tf.constant(x), tf.constant(y))
    return [ops.convert_to_numpy(g) for g in found], tapes[0]


def check(found, expected, bound):
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert np.linalg.norm(b) > 0
        assert relative_error(a, b) < bound


def steps(model):
    return [int(layer.steps) for layer in decorrelation_layers(model)]


@pytest.mark.parametrize(
    ("feedback", "decorrelated", "kind", "graph"),
    few_of(
        list(
            itertools.product(
                ["fixed", "sign_concordant", "kolen_pollack"],
                [True, False],
                ["dense", "conv"],
                [False, True],
            )
        ),
        # Every pair of values occurs.
        lambda feedback, decorrelated, kind, graph: graph == (decorrelated == (kind == "conv")),
    ),
)
def test_feedback_alignment_equals_the_rule(feedback, decorrelated, kind, graph, rng):
    x, y = data(rng)
    model = network(kind, rng, decorrelated)
    model.compile("sgd", mean_loss, learning_rule=FeedbackAlignment(feedback))
    expected = gradients(model, x, y)
    found, tape = taped(FeedbackAlignmentTape, model, x, y, graph)
    assert tape.state is model.learning_rule_state
    check(found, expected, 1e-5)
    backprop = gradients(model, x, y, "backprop")
    assert relative_error(found[0], backprop[0]) > 0.1
    assert steps(model) == [1] * len(decorrelation_layers(model))


# Every pair of values of these occurs.
@pytest.mark.parametrize(
    ("n_samples", "decorrelated", "kind", "graph"),
    few_of(
        [
            (1, True, "dense", False),
            (3, True, "conv", True),
            (1, False, "conv", True),
            (3, False, "dense", False),
            (1, True, "conv", False),
            (3, True, "dense", True),
        ],
        lambda *values: values in ((1, True, "dense", False), (3, True, "conv", True)),
    ),
)
@pytest.mark.parametrize("estimator", ["directional_derivative", "finite_difference", "activity"])
def test_node_perturbation_equals_the_rule(estimator, n_samples, decorrelated, kind, graph, rng):
    x, y = data(rng)
    model = network(kind, rng, decorrelated)
    rule = NodePerturbation(0.1, n_samples, estimator)
    model.compile("sgd", mean_loss, learning_rule=rule)
    for _ in range(2):  # every step has its noise
        expected = gradients(model, x, y)
        found, tape = taped(NodePerturbationTape, model, x, y, graph)
        assert tape.state is model.learning_rule_state
        check(found, expected, 1e-5 if estimator == "directional_derivative" else 1e-4)
    maps = decorrelation_layers(model)
    assert steps(model) == [2] * len(maps)


@pytest.mark.parametrize("rule", [
    FeedbackAlignment(seed=2), NodePerturbation(seed=2, estimator="directional_derivative"),
    NodePerturbation(0.1, seed=2),
])  # fmt: skip
def test_m_moves_as_in_the_training_step(rule, rng):
    x, y = data(rng)
    plain, ours = (network("conv", np.random.default_rng(5), cls=cls)
                   for cls in (keras.Sequential, keras_decorr.Sequential))  # fmt: skip
    ours.set_weights(plain.get_weights())
    ours.compile(keras.optimizers.SGD(0.1), mean_loss, learning_rule=rule)
    optimizer = keras.optimizers.SGD(0.1)
    kind = FeedbackAlignmentTape if isinstance(rule, FeedbackAlignment) else NodePerturbationTape
    for _ in range(3):
        ours.train_on_batch(x, y)
        found, _ = taped(lambda m: kind(m, rule), plain, x, y, graph=False)
        optimizer.apply(found, plain.trainable_variables)
    assert steps(plain) == [3, 3, 3]
    for a, b in zip(plain.weights, ours.weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def test_m_moves_once_a_block_whatever_the_number_of_calls(rng):
    x, y = data(rng)
    for cls in (keras.Sequential, keras_decorr.Sequential):
        model = network("dense", rng, cls=cls)
        with FeedbackAlignmentTape(model, persistent=True) as tape:
            loss = mean_loss(y, model(x, training=True)) + mean_loss(y, model(-x, training=True))
        assert steps(model) == [1, 1, 1]
        first = tape.gradient(loss, model.trainable_variables)
        again = tape.gradient(loss, model.trainable_variables)
        np.testing.assert_array_equal(first[0], again[0])
        with pytest.raises(RuntimeError, match="stop"), FeedbackAlignmentTape(model):
            model(x, training=True)
            raise RuntimeError("stop")
        assert steps(model) == [1, 1, 1]
        model(x, training=True)  # nothing stays open
        assert steps(model) == [2, 2, 2]


def test_the_state_is_made_once_and_saved(rng, tmp_path):
    import tensorflow as tf

    x, y = data(rng)
    model = network("dense", rng, cls=keras.Sequential)
    weights = len(model.weights)
    _, tape = taped(FeedbackAlignmentTape, model, x, y, graph=True)
    assert FeedbackAlignmentTape(model).state is tape.state
    assert len(model.weights) == weights
    assert all(layer is not tape.state for layer in model._flatten_layers())
    noise = NodePerturbationTape(model).state
    noise.next_seed()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    again = FeedbackAlignmentTape(loaded).state
    assert not np.array_equal(again.variables[0], tape.state.variables[0])
    later = NodePerturbationTape(loaded).state
    loaded.load_weights(tmp_path / "model.keras")
    for a, b in zip(again.variables, tape.state.variables, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(later.variables[0], noise.variables[0])
    assert tf.executing_eagerly()


@pytest.mark.parametrize("estimator", ["directional_derivative", "finite_difference"])
def test_masked_sequences(estimator, rng):
    words = rng.integers(0, 5, (12, 4)).astype("int32")
    y = rng.integers(0, 3, 12).astype("int32")
    model = keras_decorr.Sequential([
        keras.Input((4,), dtype="int32"),
        keras.layers.Embedding(5, 6, mask_zero=True, trainable=False),
        DecorDense(5, "tanh", decorrelator=NormPreserving(1e-2, structure="full")),
        keras.layers.GlobalAveragePooling1D(),
        DecorDense(3),
    ])  # fmt: skip
    model.compile("sgd", mean_loss, learning_rule=NodePerturbation(0.1, 2, estimator))
    expected = gradients(model, words, y)
    found, _ = taped(NodePerturbationTape, model, words, y, graph=True)
    check(found, expected, 1e-4)


def test_penalties_on_weights_keep_their_gradient(rng):
    x, y = data(rng)
    model = keras_decorr.Sequential(
        [keras.Input((6, 6, 2)), keras.layers.Flatten(), DecorDense(3, kernel_regularizer="l2")]
    )
    model.compile(
        "sgd", mean_loss, learning_rule=NodePerturbation(estimator="directional_derivative")
    )
    expected = gradients(model, x, y)
    with NodePerturbationTape(model) as tape:
        loss = sample_loss(y, model(x, training=True)) + sum(model.losses)
    check(tape.gradient(loss, model.trainable_variables), expected, 1e-5)


@pytest.mark.parametrize("tape_of", [FeedbackAlignmentTape, NodePerturbationTape])
def test_a_loop_of_ones_own_learns_the_digits(tape_of):
    import tensorflow as tf

    x, y = pytest.importorskip("sklearn.datasets").load_digits(return_X_y=True)
    x = (x[:1536] / 16.0).astype("float32")
    model = keras.Sequential(
        [keras.Input((64,)), DecorDense(32, activation="relu"), DecorDense(10)]
    )
    optimizer = keras.optimizers.Adam(3e-3)
    loss_fn = sample_loss if tape_of is NodePerturbationTape else mean_loss

    @tf.function
    def step(x, y):
        with tape_of(model) as tape:
            loss = loss_fn(y, model(x, training=True))
        found = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(found, model.trainable_variables, strict=True))
        return tf.reduce_mean(loss)

    batches = tf.data.Dataset.from_tensor_slices((x, y[:1536])).batch(64).repeat(10)
    losses = [float(step(*batch)) for batch in batches]
    assert np.mean(losses[-24:]) < 0.5 * np.mean(losses[:3])
    assert steps(model) == [240, 240]
