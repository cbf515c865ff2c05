"""The ready-made nets."""

import keras
import numpy as np
import pytest

import keras_decorr
from keras_decorr import models
from keras_decorr.decorrelators import NormPreserving
from keras_decorr.training import decorrelation_layers


@pytest.mark.parametrize(("net", "hidden"), [("dense_net", (8, 8)), ("conv_net", 8)])
@pytest.mark.parametrize("shape", [(8, 8, 1), (12, 7, 3)])
@pytest.mark.parametrize("decorrelator", [None, "norm_preserving", NormPreserving(1e-3)])
def test_any_input_shape_and_number_of_classes(net, hidden, shape, decorrelator, rng):
    model = getattr(models, net)(shape, 5, decorrelator=decorrelator, hidden=hidden)
    assert isinstance(model, keras_decorr.Sequential) == (decorrelator is not None)
    probabilities = model.predict(rng.normal(size=(3, *shape)).astype("float32"), verbose=0)
    np.testing.assert_allclose(probabilities.sum(-1), np.ones(3), rtol=1e-5)
    if decorrelator is None:
        assert {type(layer).__module__.split(".")[0] for layer in model.layers} == {"keras"}


def test_the_papers_sizes():
    dense = models.dense_net((32, 32, 3), 10)
    assert [layer.operator.n for layer in decorrelation_layers(dense)] == [3072, *[1000] * 4]
    conv = models.conv_net((32, 32, 3), 10)
    sizes = [layer.operator.n for layer in decorrelation_layers(conv)]
    assert sizes == [27, 288, 288, 576, 4096, 1000]


def test_the_same_seed_gives_the_same_weights_with_and_without_decorrelation():
    weights = []
    for decorrelator in (None, "norm_preserving"):
        keras.utils.set_random_seed(3)
        model = models.conv_net((8, 8, 1), 10, decorrelator=decorrelator, hidden=16)
        weights.append([keras.ops.convert_to_numpy(w) for w in model.trainable_weights])
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_batch_normalization_stands_before_every_activation():
    model = models.dense_net((8,), 3, None, hidden=(4, 4), batch_normalization=True)
    kinds = [type(layer).__name__ for layer in model.layers[1:]]
    assert kinds == ["Dense", "BatchNormalization", "LeakyReLU"] * 2 + ["Dense"]
