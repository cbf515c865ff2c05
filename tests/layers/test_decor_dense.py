"""DecorDense against keras.layers.Dense."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_decorr.decorrelators.structures import Monarch
from keras_decorr.layers import DecorDense
from tests.helpers import perturb, undamped

ARGUMENTS = [
    {},
    {"activation": "tanh", "use_bias": False},
    {"bias_initializer": "ones", "kernel_constraint": "max_norm"},
    {"kernel_regularizer": "l2", "bias_regularizer": "l1", "activity_regularizer": "l2"},
    {"lora_rank": 2},
]


def numpy(x):
    return ops.convert_to_numpy(x)


def twins(inputs, decorrelator, **arguments):
    keras.utils.set_random_seed(1)
    plain = keras.layers.Dense(6, **arguments)
    plain.build(inputs.shape)
    keras.utils.set_random_seed(1)
    ours = DecorDense(6, decorrelator=decorrelator, **arguments)
    ours.build(inputs.shape)
    return plain, ours


@pytest.mark.parametrize("arguments", ARGUMENTS)
@pytest.mark.parametrize("rows", [3, 40])
@pytest.mark.parametrize("rank", [2, 3])
def test_without_a_decorrelator_or_with_identity_it_is_dense(arguments, rows, rank, rng):
    x = rng.normal(size=(rows, *[4] * (rank - 2), 5)).astype("float32")
    plain, none = twins(x, None, **arguments)
    np.testing.assert_array_equal(numpy(none(x, training=True)), numpy(plain(x)))
    assert len(none.weights) == len(plain.weights)
    plain, identity = twins(x, undamped(0.0, center=False), **arguments)
    np.testing.assert_allclose(numpy(identity(x)), numpy(plain(x)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        [float(loss) for loss in identity.losses], [float(loss) for loss in plain.losses], rtol=1e-5
    )


@pytest.mark.parametrize("structure", ["full", "block_diagonal", "monarch"])
def test_applying_and_folding_agree(structure, rng):
    layer = DecorDense(12, decorrelator=undamped(structure=structure, groups=2))
    x = (rng.normal(size=(40, 8)) + 1.0).astype("float32")
    layer.build(x.shape)
    perturb(layer.decorrelation, rng)
    layer.decorrelation.moving_mean.assign(x.mean(0))
    folded = numpy(layer(x))
    applied = np.concatenate([numpy(layer(x[i : i + 10])) for i in range(0, 40, 10)])
    np.testing.assert_allclose(folded, applied, rtol=1e-4, atol=1e-5)


def test_the_kernel_gets_the_gradient_of_decorrelated_inputs(rng, backend):
    """`dL/dW = U^T dL/dy` and `dL/dx` through M and the batch mean, in closed form."""
    x = rng.normal(size=(7, 5)).astype("float32")
    target = rng.normal(size=(7, 6)).astype("float32")
    for units in (6, 20):  # folded and applied
        target = rng.normal(size=(7, units)).astype("float32")
        layer = DecorDense(units, decorrelator=undamped(1e-3, structure="full"))
        layer.build(x.shape)
        perturb(layer.decorrelation, rng)
        M = numpy(layer.decorrelation.matrices[0]).astype("float64")
        W = numpy(layer.kernel).astype("float64")
        U = (x - x.mean(0)).astype("float64") @ M.T
        error = U @ W - target
        gradients = kernel_and_input_gradient(layer, x, target, backend)
        np.testing.assert_allclose(gradients[0], U.T @ error, rtol=1e-4, atol=1e-4)
        through = error @ W.T @ M
        np.testing.assert_allclose(gradients[1], through - through.mean(0), rtol=1e-4, atol=1e-4)


def kernel_and_input_gradient(layer, x, target, backend):
    def loss(outputs):
        return 0.5 * ops.sum(ops.square(outputs - ops.convert_to_tensor(target)))

    if backend == "tensorflow":
        import tensorflow as tf

        x = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = loss(layer(x, training=True))
        return [g.numpy() for g in tape.gradient(value, [layer.kernel.value, x])]
    if backend == "jax":
        import jax

        others = [v.value for v in layer.non_trainable_variables]

        def run(kernel, x):
            values = [kernel, layer.bias.value]
            outputs, _ = layer.stateless_call(values, others, x, training=True)
            return loss(outputs)

        return [np.asarray(g) for g in jax.grad(run, (0, 1))(layer.kernel.value, x)]
    import torch

    x = torch.tensor(x, requires_grad=True)
    loss(layer(x, training=True)).backward()
    return [numpy(layer.kernel.value.grad), numpy(x.grad)]


def test_a_half_precision_layer_keeps_m_in_float32(rng):
    for policy in ("mixed_float16", "mixed_bfloat16"):
        layer = DecorDense(
            4,
            dtype=policy,
            decorrelator=undamped(1e-5, sample_fraction=1.0, structure="full"),
        )
        x = rng.normal(size=(64, 8)).astype("float32")
        outputs = layer(x, training=True)
        assert keras.backend.standardize_dtype(outputs.dtype) == policy.removeprefix("mixed_")
        M = numpy(layer.decorrelation.matrices[0])
        assert M.dtype == np.float32
        assert np.count_nonzero(M[~np.eye(8, dtype=bool)]) == 56


def test_its_configuration_round_trips(rng):
    layer = DecorDense(
        6, activation="relu", kernel_regularizer="l2", activity_regularizer="l1", name="mine",
        decorrelator=undamped(1e-3, structure="monarch", groups=2),
    )  # fmt: skip
    again = DecorDense.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert again.name == "mine"
    assert again.decorrelator.structure == Monarch(groups=2)


def test_bad_input():
    with pytest.raises(ValueError, match="rank 2 or more"):
        DecorDense(3).build((4,))
    with pytest.raises(ValueError, match="expected min_ndim=2"):  # by Keras, which looks first
        DecorDense(3)(np.ones(4, "float32"))
    with pytest.raises(ValueError, match=r"last axis .* must be known"):
        DecorDense(3)(keras.Input((3, None)))


def test_a_constraint_holds_after_a_training_step(rng):
    layer = DecorDense(3, kernel_constraint="unit_norm", bias_constraint="non_neg")
    model = keras.Sequential([keras.Input((6,)), layer])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    x = rng.normal(size=(8, 6)).astype("float32")
    model.train_on_batch(x, -5.0 + 0.0 * x[:, :3])
    kernel, bias = (ops.convert_to_numpy(v) for v in (layer.kernel, layer.bias))
    np.testing.assert_allclose(np.linalg.norm(kernel, axis=0), 1.0, rtol=1e-5)
    assert bias.min() >= 0.0
