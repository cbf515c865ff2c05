"""The vision transformer."""

import keras
import numpy as np
import pytest

import keras_decorr
from keras_decorr.models import vit
from keras_decorr.training import decorrelation_layers
from tests.models.training import trained_two_steps


def test_its_weights_counted_by_hand():
    w, depth, tokens = 12, 2, 4
    model = vit((8, 8, 3), 5, None, width=w, depth=depth, heads=3, mlp_ratio=2)
    attention, mlp, norms = 4 * (w * w + w), 2 * w * w * 2 + 2 * w + w, 2 * 2 * w
    expected = (4 * 4 * 3 * w + w) + tokens * w + depth * (attention + mlp + norms) + 2 * w
    assert model.count_params() == expected + w * 5 + 5
    assert {type(layer).__module__.split(".")[0] for layer in model.layers} == {
        "keras",
        "keras_decorr",  # the positions
    }


def test_it_decorrelates_every_map_and_trains(rng, tmp_path):
    model = vit((8, 8, 3), 3, width=12, depth=2)
    assert isinstance(model, keras_decorr.Model)
    x = trained_two_steps(model, rng)
    layers = decorrelation_layers(model)
    assert len(layers) == 1 + 2 * (4 + 2) + 1
    assert all(int(layer.steps) == 2 for layer in layers)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    found, expected = (keras.ops.convert_to_numpy(m(x)) for m in (loaded, model))
    np.testing.assert_array_equal(found, expected)


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"`patch_size`.*patch_size=5"):
        vit((32, 32, 3), 10, patch_size=5)
    with pytest.raises(ValueError, match=r"`heads`.*heads=3, width=64"):
        vit((32, 32, 3), 10, width=64)
