"""A decorrelating layer over the steps of a sequence, against Keras's, which runs step by step."""

import keras
import numpy as np
import pytest

from keras_decorr.layers import DecorConv2D, DecorDense, DecorTimeDistributed
from tests.helpers import perturb, undamped
from tests.layers.twins import decorrelations, folded, numpy

LAYERS = [
    (keras.layers.Dense, {"units": 3}, (7, 6)),
    (keras.layers.Conv2D, {"filters": 3, "kernel_size": 2}, (4, 5, 5, 2)),
]


def attached(cls, arguments, shape):
    layer = keras.layers.TimeDistributed(cls(**arguments))
    layer.build((None, *shape))
    DecorTimeDistributed.attach(layer, undamped(1e-2))
    return layer


@pytest.mark.parametrize(("cls", "arguments", "shape"), LAYERS)
def test_the_outputs_are_those_of_keras_and_m_learns_from_all_steps(cls, arguments, shape, rng):
    x = rng.normal(size=(8, *shape)).astype("float32") + 1
    layer = attached(cls, arguments, shape)
    plain = keras.layers.TimeDistributed(cls(**arguments))
    plain.build(x.shape)
    plain.set_weights([numpy(layer.layer.kernel), numpy(layer.layer.bias)])
    assert layer.compute_output_shape(x.shape) == tuple(numpy(plain(x)).shape)
    np.testing.assert_allclose(numpy(layer(x)), numpy(plain(x)), rtol=1e-5, atol=1e-5)
    layer(x, training=True)
    (part,) = decorrelations(layer)
    inside = x.reshape(-1, *shape[1:])
    _, total = layer.layer.row_sum(keras.ops.convert_to_tensor(inside))
    count = float(layer.layer.row_count(keras.ops.convert_to_tensor(inside)))
    np.testing.assert_allclose(numpy(part.moving_mean), numpy(total) / count, atol=1e-5)
    perturb(part, rng)
    back = folded(layer, x.shape)
    assert (type(back), type(back.layer)) == (keras.layers.TimeDistributed, cls)
    np.testing.assert_allclose(numpy(back(x)), numpy(layer(x)), rtol=1e-4, atol=1e-4)


def test_masked_steps_do_not_count(rng):
    x = rng.normal(size=(6, 4, 3)).astype("float32")
    mask = rng.random((6, 4)) < 0.6
    layer = DecorTimeDistributed(DecorDense(2, decorrelator=undamped()))
    layer(x, mask=keras.ops.convert_to_tensor(mask), training=True)
    mean = numpy(layer.layer.decorrelation.moving_mean)
    np.testing.assert_allclose(mean, x[mask].mean(0), rtol=1e-5, atol=1e-6)


def test_a_linear_map_of_keras_is_made_a_decorrelating_one():
    layer = DecorTimeDistributed(keras.layers.Dense(3), decorrelator=undamped(1e-2))
    assert type(layer.layer) is DecorDense
    assert layer.decorrelator is layer.layer.decorrelator
    assert layer.decorrelator.learning_rate == 1e-2
    layer.build((None, 4, 6))
    assert layer.features == 6
    inside = DecorConv2D(3, 2)
    assert DecorTimeDistributed(inside).layer is inside


def test_more_than_a_linear_map_inside_is_refused():
    inside = keras.Sequential([keras.layers.Dense(3), keras.layers.Dense(3)])
    with pytest.raises(ValueError, match=r"must be a linear map.*Received: <Sequential"):
        DecorTimeDistributed(inside)
    layer = keras.layers.TimeDistributed(inside)
    assert "more than one linear map" in DecorTimeDistributed.reason_against(layer, undamped())
    layer = keras.layers.TimeDistributed(keras.layers.DepthwiseConv2D(2))
    on_pixels = DecorTimeDistributed.reason_against(layer, undamped(rows="pixels"))
    assert "single channel" in on_pixels
    assert DecorTimeDistributed.reason_against(layer, undamped()) is None


def test_it_trains_and_is_loaded(rng, tmp_path):
    layer = DecorTimeDistributed(DecorDense(3, decorrelator=undamped(1e-2)))
    model = keras.Sequential([keras.Input((7, 6)), layer])
    model.compile("sgd", "mse")
    x = rng.normal(size=(8, 7, 6)).astype("float32")
    model.fit(x, np.ones((8, 7, 3)), verbose=0)
    assert int(layer.layer.decorrelation.steps) == 1
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(numpy(again(x)), numpy(model(x)))
