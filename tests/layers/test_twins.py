"""Every decorrelating layer against its Keras twin and against the equations in float64."""

import inspect

import keras
import numpy as np
import pytest
from keras import ops

from tests import reference
from tests.helpers import perturb, relative_error, undamped, whole_batches
from tests.layers.twins import (
    ALL,
    built,
    decorrelated,
    decorrelations,
    double,
    explicit,
    folded,
    numpy,
    ours,
)
from tests.reference_layers import CASES


def has_pixels(name):
    return "Conv" in name and "Depthwise" not in name


# Every layer sees its kernel as a matrix in one way for patches, in another for pixels; what a
# structure makes of a matrix does not depend on the layer. "channel" is the old spelling of
# rows="pixels"; without pixels it is "auto", in any layer: the dense one shows it.
PAIRS = [
    *((name, "full") for name in sorted(ALL)),
    *((name, "channel") for name in sorted(ALL) if name == "Dense" or has_pixels(name)),
    *((name, structure) for name in ("Dense", "Conv2D") for structure in ("monarch", "low_rank")),
]


@pytest.mark.parametrize(("name", "structure"), PAIRS)
def test_identity_equals_the_twin(name, structure, rng):
    cls, arguments, shape = ALL[name]
    plain, x = built(cls, arguments, shape, rng)
    expected = numpy(plain(x))
    none = decorrelated(plain, x.shape, None)
    np.testing.assert_allclose(numpy(none(x, training=True)), expected, rtol=1e-6, atol=1e-6)
    assert len(none.weights) == len(plain.weights)
    identity = decorrelated(plain, x.shape, undamped(structure=structure, groups=2, center=False))
    assert decorrelations(identity)
    np.testing.assert_allclose(numpy(identity(x)), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("name", "structure"), PAIRS)
def test_folding_gives_a_plain_layer_with_the_same_outputs(name, structure, rng):
    cls, arguments, shape = ALL[name]
    plain, x = built(cls, arguments, shape, rng)
    layer = decorrelated(plain, x.shape, undamped(1e-2, structure=structure, groups=2))
    layer(x, training=True)
    for part in decorrelations(layer):
        assert int(part.steps) == 1
        perturb(part, rng)
        if part.decorrelator.center:
            part.moving_mean.assign(rng.normal(size=part.moving_mean.shape))
    expected = numpy(layer(x))
    assert np.abs(expected - numpy(plain(x))).max() > 1e-2
    plain = folded(layer, x.shape)
    assert type(plain) is cls
    assert plain.name == layer.name
    assert not decorrelations(plain)
    np.testing.assert_allclose(numpy(plain(x)), expected, rtol=1e-4, atol=1e-5)
    again = cls.from_config(plain.get_config())
    again.build(x.shape)
    again.set_weights(plain.get_weights())
    np.testing.assert_allclose(numpy(again(x)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", sorted(CASES))
@pytest.mark.parametrize("training", [False, True])
def test_outputs_equal_the_equations(name, training, rng):
    case = CASES[name]
    plain, x = built(case.cls, case.arguments, case.shape, rng)
    structure = "channel" if case.channel else "full"
    layer = decorrelated(plain, x.shape, undamped(0.0, structure=structure))
    perturb(layer.decorrelation, rng)
    layer.decorrelation.moving_mean.assign(rng.normal(size=layer.features))
    M = explicit(layer.decorrelation, case.parts)
    rows = case.rows(x.astype("float64"), plain)
    mean = rows.mean(0) if training else double(layer.decorrelation.moving_mean)
    expected = case.outputs(x.astype("float64"), M, mean, plain)
    outputs = numpy(layer(x, training=training)).reshape(-1)
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_step_equals_the_equations(name, rng):
    case = CASES[name]
    plain, x = built(case.cls, case.arguments, case.shape, rng, batch=3)
    eta = 0.05
    decorrelator = undamped(
        eta,
        structure="channel" if case.channel else "full",
        gain_rate=1.0,
        sample_fraction=1.0,
        max_samples=None,
    )
    layer = decorrelated(plain, x.shape, decorrelator)
    perturb(layer.decorrelation, rng)
    M = explicit(layer.decorrelation, case.parts)
    layer(x, training=True)
    X = case.rows(x.astype("float64"), plain)
    Z = X - X.mean(0)
    U = Z @ M.T
    groups = reference.contiguous(layer.features, case.parts)
    expected = reference.stage_step(M, groups, Z, U, eta)
    assert relative_error(explicit(layer.decorrelation, case.parts), expected) < 1e-5
    np.testing.assert_allclose(double(layer.decorrelation.moving_mean), X.mean(0), atol=1e-5)


@pytest.mark.parametrize("name", sorted(ALL))
def test_configurations_round_trip(name, rng):
    cls, arguments, shape = ALL[name]
    plain, _ = built(cls, arguments, shape, rng)
    layer = decorrelated(plain, (6, *shape), undamped(1e-2, structure="full"))
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()


def test_all_of_them_train_in_a_plain_model_and_reload(rng, tmp_path):
    """In one model, as most of the time goes into compiling."""
    rows = whole_batches(20, 8)
    inputs, outputs, x = [], [], []
    for cls, arguments, shape in ALL.values():
        layer = ours(cls)(**arguments, decorrelator=undamped(1e-2, structure="full"))
        inputs.append(keras.Input(shape))
        y = layer(inputs[-1])
        layer.name = f"layer_{len(inputs)}"
        outputs.append(ops.mean(y, axis=tuple(range(1, len(y.shape)))))
        x.append(rng.normal(size=(rows, *shape)).astype("float32"))
    model = keras.Model(inputs, ops.stack(outputs, axis=-1))
    model.compile("sgd", "mse")
    matrices = [(p.path, M) for p in decorrelations(model) for M in p.matrices]
    assert len(matrices) >= len(ALL)
    before = [numpy(M).copy() for _, M in matrices]
    model.fit(x, np.ones((rows, len(ALL)), "float32"), batch_size=8, verbose=0)
    for (path, M), b in zip(matrices, before, strict=True):
        assert not np.array_equal(numpy(M), b), path
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(numpy(loaded(x)), numpy(model(x)))


@pytest.mark.parametrize("name", sorted(CASES))
def test_signatures_are_those_of_the_twins(name):
    case = CASES[name]
    theirs = inspect.signature(case.cls.__init__).parameters
    mine = inspect.signature(case.ours).parameters
    assert [p for p in theirs if p != "self"] == [p for p in mine if p != "decorrelator"]
    assert mine["decorrelator"].default == "norm_preserving"
