"""The state of every layer against its rows and its M as an explicit matrix; and nothing moves."""

import itertools

import keras
import numpy as np
import pytest
from keras import ops

import keras_decorr
from keras_decorr import metrics
from keras_decorr.decorrelators.structures import STRUCTURES
from keras_decorr.layers import (
    DecorConv2D,
    DecorDense,
    DecorDepthwiseConv2D,
    DecorMultiHeadAttention,
    Decorrelation,
)
from keras_decorr.metrics import decorrelation_state, sampled_inputs
from keras_decorr.metrics.decorrelation_state import matrix_condition
from tests.helpers import perturb, undamped


def values(model):
    return [ops.convert_to_numpy(v).copy() for v in model.variables]


@pytest.fixture(scope="module")
def model():
    """Dense, patches, depthwise patches, projections of attention; with things that could move."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((6, 5, 4))
    x = DecorConv2D(6, 3, decorrelator=undamped(structure="full"), name="conv")(inputs)
    x = keras.layers.BatchNormalization()(x)
    x = DecorDepthwiseConv2D(2, name="depthwise")(x)
    x = keras.layers.Reshape((6, 6))(x)
    x = keras.layers.Dropout(0.5)(x)
    attention = DecorMultiHeadAttention(2, 3, name="attention")
    x = keras.layers.Flatten()(attention(x, x))
    frozen = DecorDense(7, name="frozen")
    frozen.trainable = False
    x = DecorDense(3, decorrelator=undamped(structure="low_rank"), name="out")(frozen(x))
    return keras_decorr.Model(inputs, x)


def test_every_kind_of_layer(model, rng):
    x = rng.normal(size=(20, 6, 5, 4)).astype("float32")
    before = values(model)
    states = {state.name: state for state in decorrelation_state(model, x, max_rows=200)}
    for a, b in zip(values(model), before, strict=True):
        np.testing.assert_array_equal(a, b)
    heads = [f"attention/{name}" for name in ("query", "key", "value", "attention_output")]
    assert set(states) == {"conv", "depthwise", *heads, "frozen", "out"}
    assert states["conv"].features == 9 * 4
    assert states["conv"].rows == 200  # of 20 x 4 x 3 patches
    assert states["depthwise"].features == 4 * 6
    assert states["depthwise"].rows == 20 * 3 * 2
    assert states["attention/query"].rows == 20 * 6
    assert states["out"].rows == 20
    assert states["conv"].structure == "full"
    assert states["out"].structure == "low_rank"
    assert states["frozen"].rows == 0
    assert np.isnan(states["frozen"].energy_after)
    for name, state in states.items():
        assert state.condition == pytest.approx(1.0), name  # M is the identity
        assert (state.steps, state.skipped_updates) == (0, 0)
        assert state.rate == pytest.approx(undamped().learning_rate)
        for figure in ("energy", "whiteness", "correlation_condition", "rank"):
            a, b = getattr(state, f"{figure}_before"), getattr(state, f"{figure}_after")
            assert a == pytest.approx(b, rel=1e-3, nan_ok=True), (name, figure)


def test_figures_are_those_of_the_patches(model, rng):
    x = rng.normal(size=(6, 6, 5, 4)).astype("float32")
    layer = model.get_layer("conv").decorrelation
    start = ops.convert_to_numpy(layer.matrices[0]).copy()
    perturb(layer, rng)
    try:
        state = decorrelation_state(model, x)[0]
        windows = np.lib.stride_tricks.sliding_window_view(x.astype("float64"), (3, 3), (1, 2))
        X = windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, 36)
        Z = X - X.mean(0)
        M = ops.convert_to_numpy(layer.matrices[0]).astype("float64")
        U = Z @ M.T
        assert state.energy_before == pytest.approx(metrics.off_diagonal_energy(Z), rel=1e-4)
        assert state.energy_after == pytest.approx(metrics.off_diagonal_energy(U), rel=1e-4)
        assert state.whiteness_after == pytest.approx(metrics.whiteness(U), rel=1e-4)
        assert state.rank_after == pytest.approx(metrics.effective_rank(U), rel=1e-4)
        assert state.gain == pytest.approx(metrics.gain(Z, U), rel=1e-4)
        assert state.condition == pytest.approx(np.linalg.cond(M), rel=1e-4)
        assert state.correlation_condition_after == pytest.approx(np.linalg.cond(U.T @ U), rel=1e-3)
        layer.decorrelator.preserve = "raw"
        state = decorrelation_state(model, x)[0]
        assert state.gain == pytest.approx(metrics.gain(X, U), rel=1e-4)
    finally:
        layer.decorrelator.preserve = "centred"
        layer.matrices[0].assign(start)


def test_parts_that_never_meet(model, rng):
    x = rng.normal(size=(20, 6, 5, 4)).astype("float32")
    seen = next(s for s in sampled_inputs(model, x) if s.name == "depthwise")
    state = next(s for s in decorrelation_state(model, x) if s.name == "depthwise")
    parts = np.split(seen.centred, 6, axis=1)
    assert parts[0].shape[1] == 4
    assert state.energy_before == pytest.approx(
        np.mean([metrics.off_diagonal_energy(part) for part in parts])
    )
    assert state.rank_before == pytest.approx(sum(map(metrics.effective_rank, parts)))


@pytest.mark.parametrize(
    ("structure", "n"),
    [
        *itertools.product(sorted(STRUCTURES), [6, 11, 60]),
        *((name, 301) for name in ("full", "block_diagonal", "monarch")),
    ],
)
def test_condition_of_every_structure(structure, n, rng):
    layer = Decorrelation(undamped(structure=structure, groups=4))
    layer.build((None, n))
    perturb(layer, rng)
    if structure == "low_rank":  # V stays orthonormal
        layer.matrices[0].assign(np.linalg.qr(rng.normal(size=layer.matrices[0].shape))[0])
    M = ops.convert_to_numpy(layer.fold(ops.eye(n))).astype("float64")
    assert matrix_condition(layer) == pytest.approx(np.linalg.cond(M), rel=1e-2)
    last = layer.matrices[-1]
    last.assign(ops.zeros(last.shape))
    assert matrix_condition(layer) == np.inf
    last.assign(last + np.nan)
    assert np.isnan(matrix_condition(layer))


def test_it_falls_as_the_layer_learns(rng):
    """Correlated Gaussian inputs: what is left lies between the start and the sample's own noise."""
    keras.utils.set_random_seed(0)
    mixing = rng.normal(size=(12, 12)) / np.sqrt(12)
    x = (rng.normal(size=(512, 12)) @ mixing.T).astype("float32")
    d = undamped(0.02, sample_fraction=1.0, structure="full")
    model = keras.Sequential([keras.Input((12,)), DecorDense(1, decorrelator=d)])
    model.compile("sgd", "mse")
    (start,) = decorrelation_state(model, x)
    model.fit(x, x[:, :1], epochs=20, batch_size=128, verbose=0)
    (state,) = decorrelation_state(model, x)
    assert state.steps == 80
    assert state.energy_before == pytest.approx(start.energy_before, rel=1e-5)
    assert state.energy_after < 0.2 * state.energy_before
    assert state.correlation_condition_after < 0.5 * state.correlation_condition_before
    assert state.whiteness_after < state.whiteness_before
    assert state.rank_after > state.rank_before
    assert state.condition > 2.0


def test_names_of_their_own(rng):
    """A class whose parts have one name."""

    class Pair(keras.Model):
        def __init__(self):
            super().__init__(name="pair")
            self.a, self.b = DecorDense(4, name="same"), DecorDense(4, name="same")

        def call(self, x):
            return self.b(self.a(x))

    model, x = Pair(), rng.normal(size=(8, 4)).astype("float32")
    with pytest.raises(ValueError, match="`model` must be a built Keras model"):
        decorrelation_state(model, x)
    model(x)
    states = decorrelation_state(model, x)
    assert [s.name for s in states] == ["same", "same#2"]
    assert all(s.rows == 8 for s in states)


def test_errors(model, rng):
    x = rng.normal(size=(4, 6, 5, 4)).astype("float32")
    with pytest.raises(ValueError, match=r"`max_rows` of sampled_inputs.*Received: 0"):
        decorrelation_state(model, x, max_rows=0)
    plain = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match=r"no decorrelating layer.*Received: 'sequential"):
        decorrelation_state(plain, np.ones((2, 3)))


@pytest.mark.parametrize("structure", ["full", "monarch"])
def test_the_condition_of_m_where_the_weights_are_its_inverse(structure, rng):
    rule = keras_decorr.decorrelators.Recurrent(structure=structure, groups=2, steps=500)
    layer = keras_decorr.layers.Decorrelation(rule)
    layer.build((None, 12))
    perturb(layer, rng, 0.3)
    M = keras.ops.convert_to_numpy(layer(np.eye(12, dtype="float32"))).T
    largest, smallest = layer.operator.singular_range(
        [keras.ops.convert_to_numpy(L).astype("float64") for L in layer.matrices]
    )
    expected = np.linalg.svd(M, compute_uv=False)
    np.testing.assert_allclose((largest, smallest), (expected[0], expected[-1]), rtol=2e-3)
