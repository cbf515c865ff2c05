"""Every decorrelating layer against its Keras twin and against the equations in float64."""

import inspect

import keras
import numpy as np
import pytest
from keras import ops

from keras_decorr import layers
from keras_decorr.decorrelators import NormPreserving
from keras_decorr.layers import Decorrelation, DecorRNN
from tests import reference
from tests.helpers import perturb, relative_error, whole_batches
from tests.reference_layers import CASES, OTHERS

ALL = {name: (case.cls, case.arguments, case.shape) for name, case in CASES.items()} | OTHERS


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


def numpy(x):
    return ops.convert_to_numpy(x)


def double(x):
    return numpy(x).astype("float64")


def ours(cls):
    recurrent = cls in layers.decor_rnn.LAYERS
    return DecorRNN if recurrent else getattr(layers, f"Decor{cls.__name__}")


def decorrelated(plain, shape, decorrelator):
    """A built layer with the weights of a built Keras layer."""
    layer = ours(type(plain)).from_layer(plain, decorrelator)
    layer.build(shape)
    layer.load_plain(plain)
    return layer


def decorrelations(layer):
    parts = layer._flatten_layers()
    return [p for p in parts if isinstance(p, Decorrelation) and p.decorrelator is not None]


def built(cls, arguments, shape, rng, batch=6):
    x = (rng.normal(size=(batch, *shape)) + 0.3).astype("float32")
    plain = cls(**arguments)
    plain.build(x.shape)
    for variable in plain.weights:  # biases, too
        variable.assign(rng.normal(size=variable.shape) * 0.3)
    return plain, x


@pytest.mark.parametrize(("name", "structure"), PAIRS)
def test_identity_equals_the_twin(name, structure, rng):
    cls, arguments, shape = ALL[name]
    plain, x = built(cls, arguments, shape, rng)
    expected = numpy(plain(x))
    none = decorrelated(plain, x.shape, None)
    np.testing.assert_allclose(numpy(none(x, training=True)), expected, rtol=1e-6, atol=1e-6)
    assert len(none.weights) == len(plain.weights)
    identity = decorrelated(
        plain, x.shape, NormPreserving(structure=structure, groups=2, center=False)
    )
    assert decorrelations(identity)
    np.testing.assert_allclose(numpy(identity(x)), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("name", "structure"), PAIRS)
def test_folding_gives_a_plain_layer_with_the_same_outputs(name, structure, rng):
    cls, arguments, shape = ALL[name]
    plain, x = built(cls, arguments, shape, rng)
    layer = decorrelated(plain, x.shape, NormPreserving(1e-2, structure=structure, groups=2))
    layer(x, training=True)
    for part in decorrelations(layer):
        assert int(part.steps) == 1
        perturb(part, rng)
        if part.decorrelator.center:
            part.moving_mean.assign(rng.normal(size=part.moving_mean.shape))
    expected = numpy(layer(x))
    assert np.abs(expected - numpy(plain(x))).max() > 1e-2
    folded = layer.folded_layer()
    assert type(folded) is cls
    assert folded.name == layer.name
    folded.build(x.shape)
    folded.set_weights(layer.folded_weights())
    np.testing.assert_allclose(numpy(folded(x)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", sorted(CASES))
@pytest.mark.parametrize("training", [False, True])
def test_outputs_equal_the_equations(name, training, rng):
    case = CASES[name]
    plain, x = built(case.cls, case.arguments, case.shape, rng)
    structure = "channel" if case.channel else "full"
    layer = decorrelated(plain, x.shape, NormPreserving(0.0, structure=structure))
    perturb(layer.decorrelation, rng)
    layer.decorrelation.moving_mean.assign(rng.normal(size=layer.features))
    M = explicit(layer.decorrelation, case.parts)
    rows = case.rows(x.astype("float64"), plain)
    mean = rows.mean(0) if training else double(layer.decorrelation.moving_mean)
    expected = case.outputs(x.astype("float64"), M, mean, plain)
    outputs = numpy(layer(x, training=training)).reshape(-1)
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-4)


def explicit(decorrelation, parts):
    """The (n, n) float64 matrix of a full M, that of a part for each part."""
    n = decorrelation.operator.n
    (M,) = (double(M) for M in decorrelation.matrices)
    groups = reference.contiguous(n, parts)
    return reference.assemble(M.reshape(parts, n // parts, n // parts), groups, n)


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_step_equals_the_equations(name, rng):
    case = CASES[name]
    plain, x = built(case.cls, case.arguments, case.shape, rng, batch=3)
    eta = 0.05
    decorrelator = NormPreserving(
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


@pytest.mark.parametrize("name", ["Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"])
def test_transposed_convolutions_see_decorrelated_pixels(name, rng):
    cls, arguments, shape = OTHERS[name]
    plain, x = built(cls, arguments, shape, rng)
    layer = decorrelated(plain, x.shape, NormPreserving(structure="full"))
    assert not layer.decorrelator.center
    perturb(layer.decorrelation, rng)
    M = double(layer.decorrelation.matrices[0])
    expected = numpy(plain((x.astype("float64") @ M.T).astype("float32")))
    np.testing.assert_allclose(numpy(layer(x)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["LSTM", "GRU", "SimpleRNN"])
def test_recurrent_layers_see_decorrelated_steps(name, rng):
    cls, arguments, shape = OTHERS[name]
    plain, x = built(cls, arguments, shape, rng)
    layer = decorrelated(plain, x.shape, NormPreserving(structure="full"))
    perturb(layer.decorrelation, rng)
    layer.decorrelation.moving_mean.assign(rng.normal(size=3))
    M, mean = (
        double(v) for v in (layer.decorrelation.matrices[0], layer.decorrelation.moving_mean)
    )
    expected = numpy(plain(((x - mean) @ M.T).astype("float32")))
    np.testing.assert_allclose(numpy(layer(x)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cls", [layers.DecorDepthwiseConv1D, layers.DecorDepthwiseConv2D])
def test_a_depthwise_convolution_has_no_channels_to_decorrelate(cls):
    layer = cls(3, decorrelator=NormPreserving(rows="pixels"))
    rank = 3 if cls is layers.DecorDepthwiseConv1D else 4
    with pytest.raises(ValueError, match=r"rows='pixels'.*decorrelator=None"):
        layer.build((None, *[8] * (rank - 2), 4))


def test_a_kernel_with_a_batch_axis_is_refused():
    layer = layers.DecorEinsumDense("abc,bcd->abd", (4, 5))
    with pytest.raises(ValueError, match=r"equation='abc,bcd->abd'"):
        layer.build((None, 4, 6))
    with pytest.raises(ValueError, match="must be known"):
        layers.DecorEinsumDense("abc,cd->abd", (None, 5)).build((None, 4, None))


def test_a_recurrent_layer_must_be_one_that_can_be_folded():
    with pytest.raises(ValueError, match=r"`layer` of DecorRNN.*Received: <Bidirectional"):
        DecorRNN(keras.layers.Bidirectional(keras.layers.LSTM(3)))


@pytest.mark.parametrize("name", sorted(ALL))
def test_configurations_round_trip(name, rng):
    cls, arguments, shape = ALL[name]
    plain, _ = built(cls, arguments, shape, rng)
    layer = ours(cls).from_layer(plain, NormPreserving(1e-2, structure="full"))
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()


def test_all_of_them_train_in_a_plain_model_and_reload(rng, tmp_path):
    """In one model, as most of the time goes into compiling."""
    rows = whole_batches(20, 8)
    inputs, outputs, x = [], [], []
    for cls, arguments, shape in ALL.values():
        layer = ours(cls).from_layer(cls(**arguments), NormPreserving(1e-2, structure="full"))
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


def test_attributes_of_the_twin_are_those_of_the_layer():
    conv = layers.DecorConv2D(3, 2, strides=2, activation="relu")
    assert (conv.filters, conv.kernel_size, conv.strides) == (3, (2, 2), (2, 2))
    assert conv.activation is keras.activations.relu and conv.use_bias
    recurrent = layers.DecorRNN(keras.layers.LSTM(4, return_sequences=True, stateful=True))
    assert recurrent.units == 4 and recurrent.return_sequences
    recurrent(np.ones((2, 3, 5), "float32"))
    assert float(ops.sum(ops.abs(recurrent.layer.states[0]))) > 0
    recurrent.reset_states()
    assert float(ops.sum(ops.abs(recurrent.layer.states[0]))) == 0
    for name in ("units", "nonsense", "_private"):
        with pytest.raises(AttributeError, match=f"'DecorConv2D' object has no attribute '{name}'"):
            getattr(conv, name)


@pytest.mark.parametrize("late", [False, True])
def test_lora_folds_into_the_kernel(late, rng):
    x = rng.normal(size=(32, 6)).astype("float32")
    layer = layers.DecorDense(3, **({} if late else {"lora_rank": 2}))
    layer(x, training=True)
    if late:
        layer.enable_lora(2)
    layer.layer.lora_kernel_b.assign(rng.normal(size=(2, 3)))
    folded = layer.folded_layer()
    folded.build(x.shape)
    folded.set_weights(layer.folded_weights())
    assert folded.lora_rank is None and len(folded.weights) == 2
    np.testing.assert_allclose(numpy(folded(x)), numpy(layer(x)), atol=1e-5)


@pytest.mark.parametrize("bias_axes", [None, "b", "bd", "d"])
def test_a_bias_of_more_axes_than_the_kernel_has_columns(bias_axes, rng):
    x = rng.normal(size=(8, 7, 6)).astype("float32")
    layer = layers.DecorEinsumDense(
        "abc,cd->abd", (7, 5), bias_axes=bias_axes, bias_initializer="normal"
    )
    for _ in range(3):
        layer(x + 2.0, training=True)
    folded = layer.folded_layer()
    folded.build(x.shape)
    folded.set_weights(layer.folded_weights())
    np.testing.assert_allclose(numpy(folded(x)), numpy(layer(x)), atol=1e-5)
