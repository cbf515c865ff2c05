"""What every layer with a linear map does: folding with LoRA and quantization, masks, `around`."""

import inspect

import keras
import numpy as np
import pytest
from keras import ops

from keras_decorr import layers
from keras_decorr.backend.keras_internals import get_keras_mask
from keras_decorr.layers import DecorConv1D, DecorDense, DecorEinsumDense, DecorSeparableConv1D
from keras_decorr.layers.decor_layer import signature
from tests.layers.twins import numpy


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


def test_m_is_not_folded_into_a_quantized_kernel(rng):
    x = rng.normal(size=(8, 3, 6)).astype("float32")
    for decorrelator in (None, "norm_preserving"):
        layer = DecorEinsumDense("abc,cd->abd", (3, 4), decorrelator=decorrelator)
        model = keras.Sequential([keras.Input((3, 6)), layer])
        expected = ops.convert_to_numpy(model(x))
        model.quantize("int8")
        if decorrelator is None:
            np.testing.assert_allclose(ops.convert_to_numpy(model(x)), expected, atol=0.1)
        else:
            with pytest.raises(ValueError, match="Quantize the folded model"):
                model(x)


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


def test_a_layer_around_another_holds_it_with_its_weights(rng):
    x = rng.normal(size=(8, 6)).astype("float32")
    plain = keras.layers.EinsumDense("ab,bc->ac", 3, name="mine", activity_regularizer="l2")
    plain.trainable = False
    expected = numpy(plain(x))
    layer = DecorEinsumDense.around(plain, None)
    np.testing.assert_array_equal(numpy(layer(x)), expected)
    assert layer.layer is plain and layer.kernel is plain.kernel
    assert (layer.name, layer.trainable) == ("mine", False)
    assert len(layer.losses) == 1


def test_the_signature_has_the_decorrelator_before_the_remaining_keywords():
    found = signature(keras.layers.Dense)
    assert list(found.parameters)[-2:] == ["decorrelator", "kwargs"]
    assert found.parameters["decorrelator"].kind is inspect.Parameter.KEYWORD_ONLY
