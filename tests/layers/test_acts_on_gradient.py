"""M on the gradient of the kernel: every layer against its Keras twin and the equations in float64."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_decorr
from keras_decorr.layers import DecorDense, DecorLSTM, Decorrelation
from keras_decorr.rules import DirectFeedbackAlignment, FeedbackAlignment, NodePerturbation
from keras_decorr.training import gradients
from tests.helpers import perturb, undamped
from tests.layers.twins import ALL, built, decorrelated, decorrelations, double, folded, numpy

RECURRENT = (keras.layers.LSTM, keras.layers.GRU, keras.layers.SimpleRNN)
NAMES = sorted(name for name in ALL if ALL[name][0] not in RECURRENT)
STRUCTURES = ("full", "block_diagonal", "monarch", "low_rank")
PAIRS = [
    *((name, "full", "patches") for name in NAMES),
    *((name, "full", "pixels") for name in NAMES if "Conv" in name and "Depth" not in name),
    *((name, s, "patches") for name in ("Dense", "Conv2D") for s in STRUCTURES[1:]),
]


def on_gradient(structure="full", rows="patches", **arguments):
    groups = {} if structure in ("full", "low_rank") else {"groups": 2}
    return undamped(1e-2, structure=structure, rows=rows, acts_on="gradient", **groups, **arguments)


def model_of(layer, shape, learning_rule="backprop"):
    model = keras_decorr.Sequential([keras.Input(shape), layer, keras.layers.Flatten()])
    model.compile("sgd", "mse", learning_rule=learning_rule)
    return model


def explicit(decorrelation):
    """The whole `(n, n)` M, of the rows that come out of it for the identity."""
    n = decorrelation.operator.n
    matrices = [ops.convert_to_tensor(M) for M in decorrelation.matrices]
    return double(decorrelation.operator.apply(matrices, ops.eye(n))).T


@pytest.mark.parametrize(("name", "structure", "rows"), PAIRS)
def test_outputs_are_those_of_the_twin_and_gradients_are_multiplied(name, structure, rows, rng):
    plain, x = built(*ALL[name], rng)
    layer = decorrelated(plain, x.shape, on_gradient(structure, rows))
    for part in decorrelations(layer):
        perturb(part, rng)
    np.testing.assert_array_equal(numpy(layer(x)), numpy(plain(x)))
    model, twin = model_of(layer, x.shape[1:]), model_of(plain, x.shape[1:])
    y = rng.normal(size=numpy(model(x)).shape).astype("float32")
    given, wanted = gradients(model, x, y), gradients(twin, x, y)
    parts = iter(decorrelations(layer))
    owners = [x for x in layer._flatten_layers() if hasattr(x, "precondition")]
    owners = [x for x in owners if getattr(x, "decorrelation", None) is not None]
    assert owners
    kernels = {id(owner.kernel): owner for owner in owners}
    assert len(kernels) == len(list(parts))
    for variable, mine, theirs in zip(model.trainable_variables, given, wanted, strict=True):
        expected = theirs.astype("float64")
        if id(variable) in kernels:
            owner = kernels[id(variable)]
            M = explicit(owner.decorrelation)
            matrix = double(owner.matrix(ops.convert_to_tensor(theirs)))
            expected = double(owner.of_matrix(ops.convert_to_tensor(M.T @ M @ matrix, "float32")))
            assert np.abs(expected - theirs).max() > 1e-3 * np.abs(theirs).max()
        np.testing.assert_allclose(mine, expected, rtol=2e-4, atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize("name", ["Dense", "Conv2D", "EinsumDense", "SeparableConv2D"])
def test_m_learns_as_it_does_without_centring_and_nothing_is_folded(name, rng):
    if name not in ALL:
        name = next(other for other in sorted(ALL) if other.startswith(name))
    plain, x = built(*ALL[name], rng)
    usual = undamped(1e-2, structure="full", center=False)
    layer, other = decorrelated(plain, x.shape, on_gradient()), decorrelated(plain, x.shape, usual)
    layer(x, training=True)
    other(x, training=True)
    first, second = decorrelations(layer)[0], decorrelations(other)[0]
    assert int(first.steps) == 1 and not hasattr(first, "moving_mean")
    np.testing.assert_allclose(double(first.matrices[0]), double(second.matrices[0]), atol=1e-6)
    for mine, theirs in zip(folded(layer, x.shape).weights, plain.weights, strict=True):
        np.testing.assert_array_equal(numpy(mine), numpy(theirs))


@pytest.mark.parametrize(
    "rule",
    [
        FeedbackAlignment(seed=1),
        FeedbackAlignment("kolen_pollack", seed=1),
        DirectFeedbackAlignment(seed=1),
        NodePerturbation(0.05, seed=1),
        NodePerturbation(estimator="directional_derivative", seed=1),
    ],
    ids=["feedback", "mirroring", "direct", "perturbation", "derivative"],
)
def test_the_update_of_every_learning_rule_is_multiplied(rule, rng):
    x, y = rng.normal(size=(8, 5)).astype("float32"), rng.normal(size=(8, 3)).astype("float32")
    found = []
    for decorrelator in (on_gradient(), undamped(0.0, center=False, structure="full")):
        keras.utils.set_random_seed(3)
        layers = [DecorDense(4, "tanh", decorrelator=decorrelator) for _ in range(2)]
        layers.append(DecorDense(3, decorrelator=None))
        model = keras_decorr.Sequential([keras.Input((5,)), *layers])
        model.compile("sgd", "mse", learning_rule=rule)
        if decorrelator.acts_on_gradient:
            for layer in layers[:2]:
                perturb(layer.decorrelation, rng)
            maps = [explicit(layer.decorrelation) for layer in layers[:2]]
        found.append(gradients(model, x, y))
    given, wanted = found
    for i, M in enumerate(maps):
        expected = M.T @ M @ wanted[2 * i].astype("float64")
        size = np.abs(expected).max()
        np.testing.assert_allclose(given[2 * i], expected, rtol=1e-3, atol=1e-4 * size)
        np.testing.assert_allclose(given[2 * i + 1], wanted[2 * i + 1], rtol=1e-3, atol=1e-5)


def test_a_model_trains_saves_and_folds_to_its_own_weights(rng, tmp_path):
    x = rng.normal(size=(32, 6, 6, 2)).astype("float32")
    y = rng.integers(0, 3, 32)
    plain = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            keras.layers.Conv2D(4, 3, activation="relu", use_bias=False),
            keras.layers.Flatten(),
            keras.layers.Dense(3),
        ]
    )
    plain.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model = keras_decorr.decorrelate(plain, undamped(1e-2, acts_on="gradient"))
    model.fit(x, y, batch_size=16, epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.layers[0].decorrelator.acts_on == "gradient"
    np.testing.assert_array_equal(numpy(loaded(x)), numpy(model(x)))
    new = keras_decorr.fold(model)
    assert len(new.weights) == len(plain.weights)
    np.testing.assert_array_equal(numpy(new(x)), numpy(model(x)))


def test_a_layer_without_a_kernel_refuses():
    with pytest.raises(ValueError, match="no kernel whose gradient"):
        Decorrelation(on_gradient()).build((None, 4))
    with pytest.raises(ValueError, match="no kernel whose gradient"):
        DecorLSTM(3, decorrelator=on_gradient()).build((None, 5, 4))


def test_recurrent_layers_are_left_plain():
    plain = keras.Sequential([keras.Input((5, 4)), keras.layers.LSTM(3), keras.layers.Dense(2)])
    model = keras_decorr.decorrelate(plain, on_gradient(), head=True)
    assert type(model.layers[0]) is keras.layers.LSTM
    assert "acts_on='gradient'" in str(model.conversion_report)
