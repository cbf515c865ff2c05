"""The fully connected net."""

from keras_decorr import models
from keras_decorr.training import decorrelation_layers


def test_batch_normalization_stands_before_every_activation():
    model = models.dense_net((8,), 3, None, hidden=(4, 4), batch_normalization=True)
    kinds = [type(layer).__name__ for layer in model.layers[1:]]
    assert kinds == ["Dense", "BatchNormalization", "LeakyReLU"] * 2 + ["Dense"]


def test_the_papers_sizes():
    layers = decorrelation_layers(models.dense_net((32, 32, 3), 10))
    assert [layer.operator.n for layer in layers] == [3072, *[1000] * 4]
