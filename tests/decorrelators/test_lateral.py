"""The lateral rules, Recurrent and Foldiak, against their equations in float64."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_decorr
from keras_decorr.decorrelators import Recurrent
from keras_decorr.layers import DecorConv2D, DecorDense, Decorrelation
from tests import reference
from tests.decorrelators.lateral import ETA, RULES, make
from tests.helpers import (
    explicit,
    perturb,
    perturbed,
    relative_error,
    stage_groups,
    undamped,
)


def expected_step(matrices, groups, X, mean, rule):
    """One step; in a stage every group settles and learns by itself, with one gain for all."""
    new, z = [], X - mean
    for L, stage in zip(matrices, groups, strict=True):
        u = np.linalg.solve(L, z.T).T
        changed = np.zeros_like(L)
        for group in stage:
            block = np.ix_(group, group)
            if rule == "foldiak":
                changed[block] = reference.foldiak(L[block], u[:, group], ETA)
            else:
                changed[block] = reference.recurrent(L[block], z, u, z[:, group], u[:, group], ETA)
        new.append(changed)
        z = u
    return new


@pytest.mark.parametrize("rule", sorted(RULES))
@pytest.mark.parametrize("structure", ["full", "block_diagonal", "monarch"])
@pytest.mark.parametrize(("k", "center"), [(7, True), (200, False)])
def test_dense_step_equals_the_equations(rule, structure, k, center, rng):
    decorrelator = make(rule, structure=structure, groups=4, center=center)
    layer, groups, before, X, mean = perturbed(decorrelator, structure, k, rng)
    U = ops.convert_to_numpy(layer(X, training=True))
    want = X - mean
    for L in before:
        want = np.linalg.solve(L, want.T).T
    assert relative_error(U, want) < 1e-4
    expected = expected_step(before, groups, X.astype("float64"), mean, rule)
    for L, want in zip(explicit(layer, groups), expected, strict=True):
        assert relative_error(L, want) < 1e-5


@pytest.mark.parametrize("rule", sorted(RULES))
def test_convolution_step_equals_the_equations_and_the_kernel_folds(rule, rng):
    """`K_eff = L^-T K` on patches, in training, inference, and the plain layer it folds to."""
    layer = DecorConv2D(3, (2, 3), padding="same", decorrelator=make(rule))
    x = (rng.normal(size=(3, 5, 6, 2)) + 0.3).astype("float32")
    layer.build(x.shape)
    perturb(layer.decorrelation, rng)
    groups = stage_groups("full", 12, 1)
    (L,) = explicit(layer.decorrelation, groups)
    X = reference.patches(x.astype("float64"), (2, 3), (1, 1), (1, 1), "same")
    K = ops.convert_to_numpy(layer.kernel).astype("float64").reshape(12, 3)
    y = ops.convert_to_numpy(layer(x, training=True)).reshape(-1, 3)
    assert relative_error(y, np.linalg.solve(L, (X - X.mean(0)).T).T @ K) < 1e-4
    (new,) = explicit(layer.decorrelation, groups)
    (expected,) = expected_step([L], groups, X, X.mean(0), rule)
    assert relative_error(new, expected) < 1e-5
    model = keras.Sequential([keras.Input(x.shape[1:]), layer])
    folded = keras_decorr.fold(model)
    assert type(folded.layers[0]) is keras.layers.Conv2D
    plain = ops.convert_to_numpy(folded(x))
    np.testing.assert_allclose(plain, ops.convert_to_numpy(model(x)), rtol=1e-4, atol=1e-5)
    moving = ops.convert_to_numpy(layer.decorrelation.moving_mean)
    want = (X - moving) @ np.linalg.solve(new.T, K)
    assert relative_error(plain.reshape(-1, 3), want) < 1e-4


def test_what_has_not_settled_is_counted_in_the_logs(rng):
    x = rng.normal(size=(32, 6)).astype("float32")

    def logs(decorrelator, start=None):
        model = keras_decorr.Sequential(
            [keras.Input((6,)), DecorDense(2, decorrelator=decorrelator), keras.layers.Dense(1)]
        )
        model.compile("sgd", "mse")
        if start is not None:
            model.decorrelation_layers[0].matrices[0].assign(start)
        history = model.fit(x, x[:, :1], batch_size=8, epochs=2, verbose=0).history
        return history.get("unsettled_updates"), model

    L = np.diag(np.linspace(0.5, 3.0, 6)).astype("float32")
    slow = {"learning_rate": 1e-4, "tolerance": 1e-4}
    assert logs(undamped())[0] is None
    assert logs(make("recurrent", **slow), L)[0] == [0.0, 0.0]
    found, model = logs(make("recurrent", **slow | {"steps": 3}), L)
    assert found == [4.0, 4.0]
    assert "unsettled_updates" not in model.evaluate(x, x[:, :1], verbose=0, return_dict=True)
    # Above 2 / l_max = 0.67 it explodes; that its updates are skipped or not, it is told.
    assert logs(make("recurrent", **slow | {"step_size": 0.75}), L)[0][0] >= 1.0


def test_a_kernel_that_has_not_settled_counts_though_the_inputs_have(rng):
    """Inputs along one eigenvector settle in a step or two; the kernel lies along all of them."""
    L = np.diag([1.0, 1.0, 1.0, 0.01]).astype("float32")
    layer = Decorrelation(make("recurrent", steps=20, tolerance=1e-4, center=False))
    layer.build((None, 4))
    layer.matrices[0].assign(L)
    X = np.zeros((9, 4), "float32")
    X[:, 0] = rng.normal(size=9)
    operator, matrices = layer.operator, [ops.convert_to_tensor(L)]
    stages, _ = operator.stages(matrices, ops.convert_to_tensor(X), ops.ones(9))
    report = layer.decorrelator.report(stages)
    assert float(report["unsettled_updates"]) == 1.0


@pytest.mark.parametrize("rule", sorted(RULES))
def test_a_bad_batch_is_skipped_and_is_no_failure_of_the_dynamics(rule, rng):
    layer = Decorrelation(make(rule, update_every=2, structure="monarch", groups=2))
    layer.build((None, 8))
    perturb(layer, rng)
    x = rng.normal(size=(20, 8)).astype("float32")
    before = [ops.convert_to_numpy(v).copy() for v in layer.matrices]
    spoiled = x.copy()
    spoiled[3, 2] = np.nan
    layer(spoiled, training=True)
    assert int(layer.skipped_updates) == 1
    layer(x, training=True)  # not due
    for variable, value in zip(layer.matrices, before, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(variable), value)
    layer(x, training=True)
    assert not np.array_equal(ops.convert_to_numpy(layer.matrices[0]), before[0])


def test_half_precision_settles_in_float32(rng):
    X = rng.normal(size=(16, 6)).astype("float32")
    layers = [
        Decorrelation(make("recurrent", center=False), dtype=dtype)
        for dtype in ("float32", "mixed_bfloat16")
    ]
    L = np.eye(6) + 0.3 * rng.normal(size=(6, 6)) / np.sqrt(6)
    for layer in layers:
        layer.build((None, 6))
        layer.matrices[0].assign(L.astype("float32"))
    full, half = (ops.convert_to_numpy(ops.cast(layer(X), "float32")) for layer in layers)
    assert relative_error(half, full) < 0.02  # bfloat16 keeps 8 bits, of L, x and u


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"step_size": 0.0}, "step_size"),
        ({"steps": 0}, "steps"),
        ({"tolerance": 2.0}, "tolerance"),
        ({"structure": "low_rank"}, "structure"),
    ],
)
def test_bad_arguments_are_named(arguments, named):
    with pytest.raises(ValueError, match=f"`{named}` of Recurrent.*Received: "):
        Recurrent(**arguments)
