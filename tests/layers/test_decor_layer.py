"""What every layer with a linear map does: folding with LoRA, quantization, masks, shared variables."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_decorr import layers
from keras_decorr.backend.keras_internals import get_keras_mask, kernel_variable
from keras_decorr.layers import DecorConv1D, DecorDense, DecorEinsumDense, DecorSeparableConv1D
from tests.helpers import perturb, undamped
from tests.layers.twins import folded, numpy, ours

WITH_LORA = [
    (keras.layers.Dense, {"units": 3}, (6,)),
    (keras.layers.EinsumDense, {"equation": "ab,bc->ac", "output_shape": 3}, (6,)),
    (keras.layers.Conv1D, {"filters": 3, "kernel_size": 2}, (5, 4)),
]


@pytest.mark.parametrize("late", [False, True])
def test_lora_folds_into_the_kernel(late, rng):
    x = rng.normal(size=(32, 6)).astype("float32")
    layer = layers.DecorDense(3, **({} if late else {"lora_rank": 2}))
    layer(x, training=True)
    if late:
        layer.enable_lora(2)
    layer.lora_kernel_b.assign(rng.normal(size=(2, 3)))
    expected = numpy(layer(x))
    layer.merge()
    layer.detach()
    np.testing.assert_array_equal(numpy(layer.kernel), numpy(kernel_variable(layer)))
    np.testing.assert_allclose(numpy(layer(x)), expected, atol=1e-5)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("cls", "arguments", "shape"), WITH_LORA)
def test_lora_of_a_layer_that_is_attached(cls, arguments, shape, when, rng):
    x = rng.normal(size=(32, *shape)).astype("float32")
    layer = cls(**arguments)
    layer.build(x.shape)
    if when == "before":
        layer.enable_lora(2)
        layer.lora_kernel_b.assign(rng.normal(size=layer.lora_kernel_b.shape))
    expected = numpy(layer(x))
    ours(cls).attach(layer, undamped(1e-2))
    if when == "after":
        layer.enable_lora(2)
    np.testing.assert_allclose(numpy(layer(x)), expected, rtol=1e-5, atol=1e-5)
    layer.lora_kernel_b.assign(rng.normal(size=layer.lora_kernel_b.shape))
    assert {v.name for v in layer.trainable_weights} >= {"lora_kernel_a", "lora_kernel_b"}
    assert "kernel" not in {v.name for v in layer.trainable_weights}
    perturb(layer.decorrelation, rng)
    outputs = numpy(layer(x))
    assert np.abs(outputs - expected).max() > 1e-2
    layer.merge()
    layer.detach()
    assert type(layer) is cls
    np.testing.assert_allclose(numpy(layer(x)), outputs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("decorrelator", [None, "norm_preserving"])
def test_quantize_leaves_a_decorrelating_layer_as_it_is_with_a_warning(decorrelator, rng):
    x = rng.normal(size=(8, 3, 6)).astype("float32")
    layer = DecorEinsumDense("abc,cd->abd", (3, 4), decorrelator=decorrelator)
    model = keras.Sequential([keras.Input((3, 6)), layer])
    expected = ops.convert_to_numpy(model(x))
    with pytest.warns(UserWarning, match="quantize"):
        model.quantize("int8")
    np.testing.assert_array_equal(ops.convert_to_numpy(model(x)), expected)


def test_a_mask_goes_no_further_than_behind_the_twin():
    tokens = np.array([[1, 2, 0, 0]])
    embedded = keras.layers.Embedding(5, 3, mask_zero=True)(tokens)
    for layer, passes in (
        (DecorDense(2), True),
        (DecorConv1D(2, 2, strides=2), False),
        (DecorSeparableConv1D(2, 2), False),
    ):
        mask = get_keras_mask(layer(embedded))
        assert (mask is not None) == passes


def test_an_attached_layer_keeps_its_penalties_and_stays_frozen(rng):
    x = rng.normal(size=(8, 6)).astype("float32")
    layer = keras.layers.EinsumDense("ab,bc->ac", 3, name="mine", activity_regularizer="l2")
    layer.trainable = False
    expected, kernel = numpy(layer(x)), layer.kernel
    DecorEinsumDense.attach(layer, undamped(1e-2))
    np.testing.assert_allclose(numpy(layer(x)), expected, rtol=1e-6, atol=1e-6)
    assert layer.kernel is kernel
    assert (layer.name, layer.trainable) == ("mine", False)
    assert not layer.trainable_weights
    assert len(layer.losses) == 1
    layer(x, training=True)
    assert int(layer.decorrelation.steps) == 0


def test_a_layer_adopts_the_variables_of_another(rng):
    other = keras.layers.Dense(3)
    other.build((None, 6))
    layer = DecorDense(3, decorrelator=undamped())
    layer.adopt(other.kernel, other.bias, (None, 6))
    assert layer.built and layer.kernel is other.kernel and layer.bias is other.bias
    assert layer.decorrelation.operator.n == 6
    x = rng.normal(size=(8, 6)).astype("float32")
    np.testing.assert_allclose(numpy(layer(x)), numpy(other(x)), rtol=1e-6, atol=1e-6)
    bare = DecorDense(3, use_bias=False, decorrelator=None)
    bare.adopt(other.kernel, None, (None, 6))
    np.testing.assert_allclose(numpy(bare(x)), x @ numpy(other.kernel), rtol=1e-4, atol=1e-6)


def test_folded_weights_are_those_of_the_merged_layer(rng):
    layer = DecorDense(3, use_bias=False)
    x = rng.normal(size=(8, 6)).astype("float32") + 1.0
    layer(x, training=True)
    perturb(layer.decorrelation, rng)
    assert layer.folds_a_mean and not layer.takes_mean
    kernel, bias = layer.folded_weights()
    plain = folded(layer, x.shape)
    np.testing.assert_array_equal(numpy(plain.kernel), numpy(kernel))
    np.testing.assert_array_equal(numpy(plain.bias), numpy(bias))
    assert layer.bias is None and layer.decorrelation is not None
