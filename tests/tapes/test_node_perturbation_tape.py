"""The tape of node perturbation gives the numbers of its rule."""

import keras
import pytest

import keras_decorr
from keras_decorr.layers import DecorDense
from keras_decorr.rules import NodePerturbation
from keras_decorr.tapes import NodePerturbationTape
from keras_decorr.training import decorrelation_layers, gradients
from tests.helpers import few_of, undamped
from tests.tapes.nets import check, data, mean_loss, network, sample_loss, step_of, steps, taped

pytestmark = pytest.mark.usefixtures("tensorflow_only")


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
    step = step_of(NodePerturbationTape, model, graph)
    for _ in range(2):  # every step has its noise
        expected = gradients(model, x, y)
        found, tape = step(x, y)
        assert tape.state is model.learning_rule_state
        check(found, expected, 1e-5 if estimator == "directional_derivative" else 1e-4)
    maps = decorrelation_layers(model)
    assert steps(model) == [2] * len(maps)


@pytest.mark.parametrize(
    "estimator",
    few_of(["directional_derivative", "finite_difference"], "finite_difference".__eq__),
)
def test_masked_sequences(estimator, rng):
    words = rng.integers(0, 5, (12, 4)).astype("int32")
    y = rng.integers(0, 3, 12).astype("int32")
    model = keras_decorr.Sequential([
        keras.Input((4,), dtype="int32"),
        keras.layers.Embedding(5, 6, mask_zero=True, trainable=False),
        DecorDense(5, "tanh", decorrelator=undamped(1e-2, structure="full")),
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
