"""What the tapes refuse, and what they say."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_decorr.layers import DecorDense
from keras_decorr.rules import FeedbackAlignment, NodePerturbation
from keras_decorr.tapes import FeedbackAlignmentTape, NodePerturbationTape

TAPES = [FeedbackAlignmentTape, NodePerturbationTape]
x, y = np.ones((6, 4), "float32"), np.zeros((6, 3), "float32")


def network(**arguments):
    return keras.Sequential(
        [keras.Input((4,)), DecorDense(5, "relu", **arguments), DecorDense(3, **arguments)]
    )


@pytest.mark.parametrize("tape_of", TAPES)
def test_other_backends_are_refused(tape_of, backend):
    if backend == "tensorflow":
        pytest.skip("the tapes are for TensorFlow")
    with pytest.raises(NotImplementedError, match=f"TensorFlow alone.*Received: '{backend}'"):
        tape_of(network())


@pytest.mark.usefixtures("tensorflow_only")
class TestOnTensorFlow:
    @pytest.mark.parametrize("tape_of", TAPES)
    def test_model(self, tape_of):
        with pytest.raises(ValueError, match=r"`model` of .*Tape.*Received: 3"):
            tape_of(3)
        with pytest.raises(ValueError, match=r"is built.*Received: 'later'"):
            tape_of(keras.Sequential([DecorDense(3)], name="later"))
        with pytest.raises(ValueError, match=r"cannot train the layer '.*' \(Dense\)"):
            tape_of(keras.Sequential([keras.Input((4,)), DecorDense(3), keras.layers.Dense(2)]))

    def test_rule(self):
        with pytest.raises(ValueError, match=r"`rule` of FeedbackAlignmentTape.*NodePerturb"):
            FeedbackAlignmentTape(network(), NodePerturbation())
        model = network()
        FeedbackAlignmentTape(model, FeedbackAlignment(seed=1))
        FeedbackAlignmentTape(model, FeedbackAlignment(seed=1))
        with pytest.raises(ValueError, match=r"other options.*Received: .*'seed': 2"):
            FeedbackAlignmentTape(model, FeedbackAlignment(seed=2))

    def test_a_scalar_loss(self):
        model = network()
        with NodePerturbationTape(model) as tape:
            loss = ops.mean(model(x, training=True))
        with pytest.raises(ValueError, match=r"every sample.*`reduction=None`.*shape \(\)"):
            tape.gradient(loss, model.trainable_variables)

    def test_a_loss_of_another_batch(self):
        model = network()
        for rule in (NodePerturbation(), NodePerturbation(estimator="directional_derivative")):
            with NodePerturbationTape(model, rule) as tape:
                loss = ops.mean(model(tape.tile(x), training=True), axis=-1)[:4]
            with pytest.raises(ValueError, match=r"first axis of the loss.*`tape.tile`.*\(4,\)"):
                tape.gradient(loss, model.trainable_variables)

    def test_a_loss_of_another_batch_of_unknown_size(self):
        import tensorflow as tf

        model = network(decorrelator=None)

        @tf.function(input_signature=[tf.TensorSpec((None, 4))])
        def step(x):
            with NodePerturbationTape(model, NodePerturbation()) as tape:
                loss = ops.mean(model(tape.tile(x), training=True), axis=-1)[:4]
            return tape.gradient(loss, model.trainable_variables)

        with pytest.raises(tf.errors.InvalidArgumentError, match="not of the tiled batch"):
            step(x)

    def test_a_batch_that_is_not_tiled(self):
        model = network()
        for rule in (NodePerturbation(), NodePerturbation(1, 2, "directional_derivative")):
            with (
                pytest.raises(ValueError, match=r"2 times the batch.*`model\(tape.tile\(x\)\)`"),
                NodePerturbationTape(model, rule),
            ):
                model(x, training=True)

    def test_a_loss_made_outside(self):
        model = network()
        with NodePerturbationTape(model) as tape:
            pass
        with pytest.raises(ValueError, match="No linear map"):
            tape.gradient(ops.ones(6), model.trainable_variables)
        with NodePerturbationTape(model) as tape:
            model(x, training=True)
        with pytest.raises(ValueError, match=r"does not reach the loss.*inside of the `with`"):
            tape.gradient(ops.mean(model(x), axis=-1), model.trainable_variables)
