"""M from data at once."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_decorr
from keras_decorr import decorrelators
from keras_decorr.decorrelators import NormPreserving
from keras_decorr.layers import DecorConv2D, DecorDense, Decorrelation


def numpy(x):
    return ops.convert_to_numpy(x)


def correlated(rng, rows, n):
    mixing = np.eye(n) + 0.2 * rng.normal(size=(n, n))
    return (rng.normal(size=(rows, n)) @ mixing + 1.0).astype("float32")


def soft_whitening(Z, d):
    """The equation, in float64."""
    Z = Z.astype("float64")
    C = Z.T @ Z / len(Z)
    values, V = np.linalg.eigh(C + d * np.trace(C) / len(C) * np.eye(len(C)))
    M = V / np.sqrt(values) @ V.T
    g = np.mean(np.linalg.norm(Z, axis=1) / np.linalg.norm(Z @ M.T, axis=1))
    return g * M


@pytest.mark.parametrize("damping", [0.1, 10.0])
def test_a_full_m_is_that_of_the_equation(rng, damping):
    x = correlated(rng, 64, 6)
    layer = Decorrelation(NormPreserving(structure="full"))
    layer.adapt(x, damping)
    np.testing.assert_allclose(numpy(layer.moving_mean), x.mean(0), rtol=1e-4, atol=1e-5)
    assert float(numpy(layer.mean_count)) == 64.0
    expected = soft_whitening(x - x.mean(0), damping)
    (M,) = layer.matrices
    np.testing.assert_allclose(
        numpy(M)[0] if M.ndim == 3 else numpy(M), expected, rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize("structure", ["full", "block_diagonal", "monarch", "low_rank"])
def test_without_damping_what_a_structure_can_take_away_is_gone(rng, structure):
    """Every stage whitens the rows that it receives: within its groups nothing is left."""
    x = correlated(rng, 400, 16)
    layer = Decorrelation(NormPreserving(structure=structure))
    layer.adapt(x, 0.0)
    Z = ops.convert_to_tensor(x - x.mean(0))
    stages, _ = layer.operator.stages(
        [ops.convert_to_tensor(M) for M in layer.matrices], Z, ops.sum(ops.square(Z), axis=-1)
    )
    for stage in stages:
        U = numpy(stage.U).astype("float64")
        U = U if stage.row_axis == -2 else np.swapaxes(U, -1, -2)
        C = np.swapaxes(U, -1, -2) @ U / 400
        off = C * (1 - np.eye(C.shape[-1]))
        assert np.abs(off).max() < 1e-3 * np.abs(C).max()


@pytest.mark.parametrize("name", sorted(decorrelators.DECORRELATORS))
def test_every_rule_takes_away_correlations(rng, name):
    x = correlated(rng, 200, 8)
    rule = decorrelators.DECORRELATORS[name](structure="full")
    layer = Decorrelation(rule)
    layer.adapt(x, 0.1)
    C = [np.cov(y.T) for y in (x, numpy(layer(x)))]
    assert [np.linalg.cond(c) for c in C][1] < 0.5 * np.linalg.cond(C[0])


def net():
    return keras_decorr.Sequential([
        keras.Input((6, 6, 2)),
        DecorConv2D(4, 3, activation="relu"),
        keras.layers.BatchNormalization(),
        keras.layers.Flatten(),
        DecorDense(8, activation="relu"),
        DecorDense(2),
    ])  # fmt: skip


def test_a_model_is_adapted_layer_after_layer(rng):
    """Each layer from what those before it give with their new M; nothing else changes."""
    x = rng.normal(1.0, size=(48, 6, 6, 2)).astype("float32")
    model = net()
    model.compile("adam", "mse")
    trainable = [numpy(w).copy() for w in model.trainable_weights]
    statistics = [numpy(w).copy() for w in model.layers[1].non_trainable_weights]
    keras_decorr.adapt(model, x)
    for before, after in zip(trainable, model.trainable_weights, strict=True):
        np.testing.assert_array_equal(before, numpy(after))
    for before, after in zip(statistics, model.layers[1].non_trainable_weights, strict=True):
        np.testing.assert_array_equal(before, numpy(after))
    found = [numpy(layer.matrices[0]).copy() for layer in model.decorrelation_layers]
    assert all(np.abs(M - np.eye(M.shape[-1])).max() > 1e-3 for M in found)
    last = model.layers[-1].decorrelation
    mean = numpy(
        model.layers[3](model.layers[2](model.layers[1](model.layers[0](x), training=True)))
    )
    np.testing.assert_allclose(numpy(last.moving_mean), mean.mean(0), rtol=0.05, atol=0.05)
    assert np.isfinite(model.fit(x, np.zeros((48, 2)), verbose=0).history["loss"]).all()


def test_data_as_fit_takes_them(rng):
    x = rng.normal(1.0, size=(32, 6, 6, 2)).astype("float32")
    batches = [(x[:16], x[:16]), (x[16:], x[16:])]
    found = []
    for data in (x, iter(batches), batches_of_keras(batches)):
        keras.utils.set_random_seed(0)
        model = net()
        keras_decorr.adapt(model, data)
        found.append(numpy(model.decorrelation_layers[-1].matrices[0]))
    for other in found[1:]:
        np.testing.assert_allclose(found[0], other, rtol=1e-4, atol=1e-5)


def batches_of_keras(batches):
    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return len(batches)

        def __getitem__(self, i):
            return batches[i]

    return Batches()


def test_what_was_trained_or_is_frozen_keeps_its_m(rng):
    x = rng.normal(1.0, size=(32, 6, 6, 2)).astype("float32")
    model = net()
    model.layers[-1].trainable = False
    keras_decorr.adapt(model, x)
    last = model.decorrelation_layers[-1].matrices[0]
    np.testing.assert_array_equal(
        numpy(last), model.decorrelation_layers[-1].operator.identities()[0]
    )
    model.compile("sgd", "mse")
    model.train_on_batch(x, np.zeros((32, 2)))
    M = numpy(model.decorrelation_layers[0].matrices[0]).copy()
    with pytest.warns(UserWarning, match="adapt changed nothing"):
        keras_decorr.adapt(model, x)
    np.testing.assert_array_equal(M, numpy(model.decorrelation_layers[0].matrices[0]))


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="`damping` of adapt must be"):
        keras_decorr.adapt(net(), np.ones((2, 6, 6, 2)), damping=-1.0)
    with pytest.raises(ValueError, match="`data` of adapt has no batch"):
        keras_decorr.adapt(net(), iter([]))
    with pytest.raises(ValueError, match="has no decorrelating layer"):
        keras_decorr.adapt(
            keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]), np.ones((2, 2))
        )
