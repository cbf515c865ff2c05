"""DecorConv2D against keras.layers.Conv2D."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_decorr.layers import DecorConv2D
from tests import reference
from tests.helpers import perturb, undamped

ARGUMENTS = [
    {"kernel_size": 3},
    {"kernel_size": 3, "padding": "same", "activation": "relu"},
    {"kernel_size": (2, 4), "padding": "same", "use_bias": False},
    {"kernel_size": 3, "strides": 2, "padding": "same"},
    {"kernel_size": (4, 2), "strides": (2, 3)},
    {"kernel_size": 3, "dilation_rate": 2, "padding": "same"},
    {"kernel_size": 2, "dilation_rate": (1, 3)},
    {"kernel_size": 1, "kernel_regularizer": "l2", "kernel_constraint": "unit_norm"},
    {"kernel_size": 3, "activity_regularizer": "l2"},
]
STRUCTURES = ["full", "block_diagonal", "monarch"]


def numpy(x):
    return ops.convert_to_numpy(x)


def twins(inputs, decorrelator, **arguments):
    keras.utils.set_random_seed(1)
    plain = keras.layers.Conv2D(6, **arguments)
    plain.build(inputs.shape)
    keras.utils.set_random_seed(1)
    ours = DecorConv2D(6, decorrelator=decorrelator, **arguments)
    ours.build(inputs.shape)
    return plain, ours


@pytest.mark.parametrize("arguments", ARGUMENTS)
def test_without_a_decorrelator_or_with_identity_it_is_conv2d(arguments, rng):
    x = rng.normal(size=(2, 9, 12, 3)).astype("float32")
    plain, none = twins(x, None, **arguments)
    np.testing.assert_array_equal(numpy(none(x, training=True)), numpy(plain(x)))
    plain, identity = twins(x, undamped(0.0, center=False), **arguments)
    outputs = identity(x, training=True)
    np.testing.assert_allclose(numpy(outputs), numpy(plain(x)), rtol=1e-4, atol=1e-5)
    assert identity.compute_output_shape(x.shape) == tuple(outputs.shape)


@pytest.mark.parametrize(("arguments", "structure"), [*zip(ARGUMENTS, 3 * STRUCTURES, strict=True)])
@pytest.mark.parametrize("training", [True, False])
def test_it_is_the_linear_map_on_decorrelated_patches(structure, training, arguments, rng):
    """Centred after padding, so the border is treated like the middle."""
    x = (rng.normal(size=(2, 9, 12, 3)) + 0.5).astype("float32")
    arguments = {k: v for k, v in arguments.items() if "regularizer" not in k}
    layer = DecorConv2D(
        4, bias_initializer="ones", **arguments,
        decorrelator=undamped(0.0, structure=structure, groups=2),
    )  # fmt: skip
    layer.build(x.shape)
    decorrelation = layer.decorrelation
    perturb(decorrelation, rng)
    patches = reference.patches(
        x.astype("float64"), layer.kernel_size, layer.strides, layer.dilation_rate, layer.padding
    )
    decorrelation.moving_mean.assign(rng.normal(size=patches.shape[1]).astype("float32"))
    mean = patches.mean(0) if training else numpy(decorrelation.moving_mean)
    M = numpy(decorrelation.operator.apply(decorrelation.matrices, np.eye(len(mean), dtype="f4")))
    expected = (patches - mean) @ M @ numpy(layer.kernel).reshape(len(mean), -1)
    if layer.bias is not None:
        expected = expected + 1.0
    outputs = numpy(layer(x, training=training))
    if arguments.get("activation") == "relu":
        expected = np.maximum(expected, 0.0)
    np.testing.assert_allclose(outputs.reshape(expected.shape), expected, rtol=1e-4, atol=1e-4)


def test_channels_first_equals_channels_last(rng, backend):
    if backend == "tensorflow":
        pytest.skip("TensorFlow has no channels_first convolution on a CPU")
    x = rng.normal(size=(3, 6, 7, 2)).astype("float32")
    layers = []
    for data_format in ("channels_last", "channels_first"):
        keras.utils.set_random_seed(1)
        layers.append(DecorConv2D(4, 3, padding="same", data_format=data_format))
    last = numpy(layers[0](x, training=True))
    first = numpy(layers[1](x.transpose(0, 3, 1, 2), training=True))
    np.testing.assert_allclose(first.transpose(0, 2, 3, 1), last, rtol=1e-4, atol=1e-5)
    for a, b in zip(
        layers[0].decorrelation.variables, layers[1].decorrelation.variables, strict=True
    ):
        np.testing.assert_allclose(numpy(a), numpy(b), rtol=1e-5, atol=1e-6)


def test_images_of_unknown_size_train(rng):
    inputs = keras.Input((None, None, 3))
    x = DecorConv2D(4, 3, padding="same", decorrelator=undamped(1e-3))(inputs)
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))
    model.compile("sgd", "mse")
    for size in (6, 9):
        x = rng.normal(size=(8, size, size + 1, 3)).astype("float32")
        model.train_on_batch(x, np.zeros((8, 4), "float32"))
    assert int(model.layers[1].decorrelation.steps) == 2


def test_wrong_groups_unknown_channels_and_wrong_ranks_are_refused():
    with pytest.raises(ValueError, match=r"`groups`.*divide the channels.*Received: groups=2"):
        DecorConv2D(4, 3, groups=2).build((None, 8, 8, 3))
    with pytest.raises(ValueError, match=r"number of channels .* must be known"):
        DecorConv2D(4, 3)(keras.Input((8, 8, None)))
    with pytest.raises(ValueError, match="rank 4"):
        DecorConv2D(4, 3).build((None, 8))


def test_its_configuration_round_trips():
    layer = DecorConv2D(
        6, (3, 2), strides=(1, 2), padding="same", activation="relu", kernel_regularizer="l2",
        decorrelator=undamped(1e-3, max_samples=99),
    )  # fmt: skip
    again = DecorConv2D.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert again.decorrelator.max_samples == 99
