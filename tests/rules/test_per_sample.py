"""What the samples add to the loss adds up to the compiled loss, whatever was compiled."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_decorr
from keras_decorr.layers import DecorDense
from keras_decorr.rules.per_sample import contributions
from tests.rules.nets import compiled, dense_layers, numpy


def two_outputs(**arguments):
    inputs = keras.Input((4,))
    first = DecorDense(3, "softmax", decorrelator=None, name="first")(inputs)
    second = DecorDense(2, decorrelator=None, name="second")(inputs)
    model = keras_decorr.Model(inputs, {"first": first, "second": second})
    model.compile("sgd", learning_rule="node_perturbation", **arguments)
    return model


def one_output(loss, shape=(4,)):
    model = keras_decorr.Sequential([keras.Input(shape), DecorDense(3, decorrelator=None)])
    model.compile("sgd", loss, learning_rule="node_perturbation")
    return model


def assert_adds_up(model, x, y, sample_weight=None):
    x, y = (keras.tree.map_structure(ops.convert_to_tensor, v) for v in (x, y))
    y_pred = model(x)
    whole = float(keras.Model.compute_loss(model, x, y, y_pred, sample_weight))
    parts = numpy(contributions(model, y, y_pred, sample_weight, "rule"))
    assert parts.shape == (len(numpy(keras.tree.flatten(y)[0])),)
    assert float(parts.sum()) == pytest.approx(whole, rel=1e-5)
    assert whole != 0.0
    return parts


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize(
    "reduction", ["sum_over_batch_size", "mean", "sum", "mean_with_sample_weight"]
)
@pytest.mark.parametrize("shape", [(4,), (5, 4)])
def test_every_reduction_with_and_without_weights(reduction, weighted, shape, rng):
    model = one_output(keras.losses.MeanSquaredError(reduction=reduction), shape)
    x = rng.normal(size=(7, *shape)).astype("float32")
    y = rng.normal(size=(7, *shape[:-1], 3)).astype("float32")
    weights = rng.uniform(0.1, 3.0, y.shape[:-1]).astype("float32") if weighted else None
    parts = assert_adds_up(model, x, y, weights)
    error = np.square(numpy(model(x)) - y).mean(-1)
    expected = (error if weights is None else error * weights).reshape(7, -1).sum(1)
    np.testing.assert_allclose(parts / parts.sum(), expected / expected.sum(), rtol=1e-4)


@pytest.mark.parametrize("loss", ["sparse_categorical_crossentropy", "mse", "hinge"])
def test_losses_by_name(loss, rng):
    x = rng.normal(size=(7, 4)).astype("float32")
    y = rng.integers(0, 3, 7) if loss.startswith("sparse") else rng.normal(size=(7, 3))
    if loss == "hinge":
        y = np.sign(y)
    assert_adds_up(one_output(loss), x, y.astype("float32"))


def test_functions_and_targets_with_an_axis_more(rng):
    x = rng.normal(size=(7, 4)).astype("float32")
    y = rng.normal(size=(7, 3)).astype("float32")
    assert_adds_up(one_output(lambda y, p: ops.mean(ops.abs(y - p), axis=-1)), x, y)
    cross = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    assert_adds_up(one_output(cross), x, rng.integers(0, 3, (7, 1)))


@pytest.mark.parametrize("loss_weights", [None, {"first": 0.3, "second": 2.0}])
@pytest.mark.parametrize("weighted", [True, False])
def test_several_outputs(loss_weights, weighted, rng):
    losses = {"first": "sparse_categorical_crossentropy", "second": "mse"}
    model = two_outputs(loss=losses, loss_weights=loss_weights)
    x = rng.normal(size=(7, 4)).astype("float32")
    y = {"first": rng.integers(0, 3, 7), "second": rng.normal(size=(7, 2)).astype("float32")}
    weights = {name: rng.uniform(0.1, 3.0, 7).astype("float32") for name in y}
    assert_adds_up(model, x, y, weights if weighted else None)
    model.fit(x, y, sample_weight=weights if weighted else None, verbose=0)


def test_an_output_without_a_loss(rng):
    model = two_outputs(loss={"first": None, "second": "mse"})
    x = rng.normal(size=(7, 4)).astype("float32")
    y = {"second": rng.normal(size=(7, 2)).astype("float32")}
    model.fit(x, y, verbose=0)


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", "mean_with_sample_weight"])
@pytest.mark.parametrize("weighted", [True, False])
def test_masked_steps_do_not_count(reduction, weighted, rng):
    layers = [keras.Input((5, 4)), keras.layers.Masking(), DecorDense(3, decorrelator=None)]
    model = keras_decorr.Sequential(layers)
    loss = keras.losses.MeanSquaredError(reduction=reduction)
    model.compile("sgd", loss, learning_rule="node_perturbation")
    x = rng.normal(size=(7, 5, 4)).astype("float32")
    x[:3, 2:] = 0.0
    x[3] = 0.0
    weights = rng.uniform(0.1, 3.0, (7, 5)).astype("float32") if weighted else None
    parts = assert_adds_up(model, x, rng.normal(size=(7, 5, 3)).astype("float32"), weights)
    assert parts[3] == 0


def test_a_loss_that_shows_only_in_training_that_it_is_a_scalar(rng):
    """A target of a shape that cannot be guessed at compile."""

    def scalar(y, p):
        if y.shape[-1] != 5:
            raise ValueError("five values")
        return ops.mean(ops.square(p)) + 0.0 * ops.mean(y)

    model = one_output(scalar)
    with pytest.raises(ValueError, match="needs a loss with a value for every sample"):
        model.fit(rng.normal(size=(7, 4)), rng.normal(size=(7, 5)), verbose=0)


def scalar(y, y_pred):
    return ops.mean(ops.square(y_pred))


class Scalar(keras.losses.Loss):
    def call(self, y, y_pred):
        return ops.mean(ops.square(y_pred))


@pytest.mark.parametrize("loss", [scalar, Scalar()])
def test_node_perturbation_needs_a_loss_for_every_sample(loss):
    model = keras_decorr.Sequential(dense_layers())
    with pytest.raises(
        ValueError, match=r"'node_perturbation' needs a loss with a value for every"
    ):
        compiled(model, "node_perturbation", loss=loss)
    compiled(model, "feedback_alignment", loss=loss)  # the others do not mind


def test_node_perturbation_needs_a_loss_and_a_reduction():
    model = keras_decorr.Sequential(dense_layers())
    with pytest.raises(ValueError, match=r"'node_perturbation' needs a `loss` in `compile`"):
        compiled(model, "node_perturbation", loss=None)
    with pytest.raises(ValueError, match=r"one of the reductions.*Received: reduction=None"):
        compiled(model, "node_perturbation", loss=keras.losses.MeanSquaredError(reduction=None))
