"""The convolutional net."""

from keras_decorr import models
from keras_decorr.training import decorrelation_layers


def test_the_papers_sizes():
    layers = decorrelation_layers(models.conv_net((32, 32, 3), 10))
    assert [layer.operator.n for layer in layers] == [27, 288, 288, 576, 4096, 1000]


def test_filters_are_the_blocks_before_each_pooling():
    model = models.conv_net((16, 16, 1), 3, None, filters=((4,), (5, 6), (7,)), hidden=8)
    names = [layer.name for layer in model.layers if layer.name.startswith("conv_")]
    assert names == ["conv_1_1", "conv_2_1", "conv_2_2", "conv_3_1"]
    assert model.get_layer("conv_3_1").kernel.shape == (3, 3, 6, 7)
    assert model.get_layer("hidden").kernel.shape == (2 * 2 * 7, 8)
