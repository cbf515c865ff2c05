"""M is updated once a block of a tape, as in the training step."""

import keras
import numpy as np
import pytest

import keras_decorr
from keras_decorr.layers import DecorDense
from keras_decorr.rules import FeedbackAlignment, NodePerturbation
from keras_decorr.tapes import FeedbackAlignmentTape, NodePerturbationTape
from tests.tapes.nets import data, mean_loss, network, sample_loss, steps, taped

pytestmark = pytest.mark.usefixtures("tensorflow_only")


@pytest.mark.parametrize("rule", [
    FeedbackAlignment(seed=2), NodePerturbation(seed=2, estimator="directional_derivative"),
    NodePerturbation(0.1, seed=2),
])  # fmt: skip
def test_m_moves_as_in_the_training_step(rule, rng):
    x, y = data(rng)
    plain, ours = (network("conv", np.random.default_rng(5), cls=cls)
                   for cls in (keras.Sequential, keras_decorr.Sequential))  # fmt: skip
    ours.set_weights(plain.get_weights())
    ours.compile(keras.optimizers.SGD(0.1), mean_loss, learning_rule=rule, run_eagerly=True)
    optimizer = keras.optimizers.SGD(0.1)
    kind = FeedbackAlignmentTape if isinstance(rule, FeedbackAlignment) else NodePerturbationTape
    for _ in range(2):
        ours.train_on_batch(x, y)
        found, _ = taped(lambda m: kind(m, rule), plain, x, y, graph=False)
        optimizer.apply(found, plain.trainable_variables)
    assert steps(plain) == [2, 2, 2]
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


@pytest.mark.parametrize("tape_of", [FeedbackAlignmentTape, NodePerturbationTape])
def test_a_loop_of_ones_own_learns_the_digits(tape_of):
    import tensorflow as tf

    x, y = pytest.importorskip("sklearn.datasets").load_digits(return_X_y=True)
    x = (x[:1536] / 16.0).astype("float32")
    model = keras.Sequential(
        [keras.Input((64,)), DecorDense(32, activation="relu"), DecorDense(10, decorrelator=None)]
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
    assert steps(model) == [240]
