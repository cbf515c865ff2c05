"""ResNet-18."""

import keras
import numpy as np
import pytest

import keras_decorr
from keras_decorr.layers import DecorConv2D
from keras_decorr.models import resnet18
from keras_decorr.training import decorrelation_layers
from tests.models.training import trained_two_steps


def test_it_has_the_weights_of_the_published_net():
    model = resnet18((224, 224, 3), 1000, decorrelator=None)
    # He et al.: 11.69 million, as counted everywhere for this net.
    assert sum(np.prod(w.shape) for w in model.trainable_weights) == 11_689_512
    assert not isinstance(model, keras_decorr.Model)


@pytest.mark.parametrize(
    ("shape", "stem", "first", "last"),
    [
        ((32, 32, 3), None, (32, 32), (4, 4)),
        ((65, 65, 1), None, (17, 17), (3, 3)),
        ((64, 64, 3), "imagenet", (16, 16), (2, 2)),
        ((8, 8, 1), "cifar", (8, 8), (1, 1)),
    ],
)
def test_sizes(shape, stem, first, last):
    model = resnet18(shape, 7, decorrelator=None, stem=stem, width=4)
    additions = [x for x in model.layers if isinstance(x, keras.layers.Add)]
    assert len(additions) == 8
    assert additions[0].output.shape[1:] == (*first, 4)
    assert additions[-1].output.shape[1:] == (*last, 32)
    assert model.output_shape == (None, 7)


def test_an_unknown_stem_is_refused():
    with pytest.raises(ValueError, match=r"`stem`.*cifar.*Received: 'mnist'"):
        resnet18((8, 8, 1), 3, stem="mnist")


def test_it_decorrelates_every_convolution_and_trains(rng, tmp_path):
    model = resnet18((8, 8, 3), 3, width=4)
    assert isinstance(model, keras_decorr.Model)
    assert len([x for x in model.layers if isinstance(x, DecorConv2D)]) == 20
    x = trained_two_steps(model, rng)
    layers = decorrelation_layers(model)
    assert len(layers) == 21
    for layer in layers:
        assert int(layer.steps) == 2
        assert np.abs(keras.ops.convert_to_numpy(layer.matrices[-1])).max() > 0
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    found, expected = (keras.ops.convert_to_numpy(m(x)) for m in (loaded, model))
    np.testing.assert_array_equal(found, expected)
