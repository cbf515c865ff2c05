"""The state of an optimizer on folded kernels, against that of the folded model and closed forms."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_decorr
from keras_decorr.backend.keras_internals import optimizer_slots
from keras_decorr.conversion import optimizer_state
from tests.helpers import perturb, undamped

SUMS = {"momentums", "accumulated_gradients", "average_gradients"}


def numpy(x):
    return np.asarray(ops.convert_to_numpy(x), "float64")


def net(use_bias=True):
    return [
        keras.Input((6, 5, 2)),
        keras.layers.Conv2D(3, 2, activation="tanh", name="conv", use_bias=use_bias),
        keras.layers.Reshape((20, 3)),
        keras.layers.EinsumDense("abc,cde->abde", (None, 2, 4), bias_axes="de", name="einsum"),
        keras.layers.Reshape((20, 8)),
        keras.layers.LSTM(4, name="lstm"),
        keras.layers.Dense(3, name="dense", use_bias=use_bias),
    ]


def trained(optimizer, rng, rule=None, layers=None, **compile_arguments):
    """A model with a frozen M that took two steps, and its data."""
    model = keras_decorr.decorrelate(
        keras.Sequential(layers or net()), rule or undamped(1e-2, structure="full")
    )
    model.compile(optimizer, "mse", **compile_arguments)
    x = rng.normal(size=(8, *model.input_shape[1:])).astype("float32") + 0.4
    y = rng.normal(size=(8, *model.output_shape[1:])).astype("float32")
    for layer in model.decorrelation_layers:
        perturb(layer, rng, 0.2)
        if layer.decorrelator.center:
            layer.moving_mean.assign(rng.normal(size=layer.moving_mean.shape) * 0.3)
        layer.trainable = False
    model.fit(x, y, epochs=2, verbose=0)
    return model, x, y


@pytest.mark.parametrize("acts_on", ["inputs", "gradient"])
def test_a_momentum_becomes_what_the_folded_model_would_have(acts_on, rng):
    """A rate of 0 and one step: the momentum is the gradient, of either model."""
    rule = undamped(1e-2, structure="full", acts_on=acts_on)
    layers = net()
    if acts_on == "gradient":
        layers[5] = keras.layers.Flatten()
    model, x, y = trained(keras.optimizers.Adam(0.0, beta_1=0.5), rng, rule, layers)
    folded = keras_decorr.fold(model, keep_optimizer=True)
    other = keras_decorr.fold(model)
    other.compile(keras.optimizers.Adam(0.0, beta_1=0.5), "mse")
    other.fit(x, y, epochs=2, verbose=0)
    (_, mine), (_, theirs) = optimizer_slots(folded.optimizer), optimizer_slots(other.optimizer)
    assert len(mine["momentums"]) == len(folded.trainable_variables)
    for given, wanted in zip(mine["momentums"], theirs["momentums"], strict=True):
        size = np.abs(numpy(wanted)).max()
        np.testing.assert_allclose(numpy(given), numpy(wanted), rtol=1e-3, atol=1e-4 * size)
    assert int(folded.optimizer.iterations) == 2


def test_mean_squares_equal_the_closed_form(rng):
    layers = [keras.Input((4,)), keras.layers.Dense(3)]
    model, *_ = trained("adam", rng, layers=layers)
    layer = model.layers[0]
    M, mean = numpy(layer.decorrelation.matrices[0]), numpy(layer.decorrelation.moving_mean)
    kernel, bias = (numpy(v) for v in optimizer_slots(model.optimizer)[1]["velocities"])
    folded = keras_decorr.fold(model, keep_optimizer=True)
    of_kernel, of_bias = (numpy(v) for v in optimizer_slots(folded.optimizer)[1]["velocities"])
    expected = np.linalg.inv(M) ** 2 @ kernel + np.outer(mean**2, bias)
    np.testing.assert_allclose(of_kernel, expected, rtol=1e-4)
    np.testing.assert_allclose(of_bias, bias, rtol=1e-6)


def test_mean_squares_of_a_gradient_that_m_acted_on_stay(rng):
    layers = [keras.Input((4,)), keras.layers.Dense(3)]
    rule = undamped(1e-2, structure="full", acts_on="gradient")
    model, *_ = trained("adam", rng, rule, layers)
    folded = keras_decorr.fold(model, keep_optimizer=True)
    for mine, theirs in zip(
        *(optimizer_slots(x.optimizer)[1]["velocities"] for x in (folded, model)), strict=True
    ):
        np.testing.assert_array_equal(numpy(mine), numpy(theirs))


def test_a_new_bias_starts_with_the_mean_square_of_its_kernel(rng):
    layers = [keras.Input((4,)), keras.layers.Dense(3, use_bias=False)]
    model, *_ = trained("adam", rng, layers=layers)
    folded = keras_decorr.fold(model, keep_optimizer=True)
    of_kernel, of_bias = (numpy(v) for v in optimizer_slots(folded.optimizer)[1]["velocities"])
    np.testing.assert_allclose(of_bias, of_kernel.mean(0), rtol=1e-4)


@pytest.mark.parametrize("cls", optimizer_state.OPTIMIZERS)
def test_every_slot_of_the_optimizers_is_known_and_carried(cls, rng):
    more = {"momentum": 0.9} if cls.__name__ in ("SGD", "RMSprop") else {}
    more |= {"centered": True} if cls.__name__ == "RMSprop" else {}
    optimizer = cls(1e-3, use_ema=True, **more)
    layers = [keras.Input((4,)), keras.layers.Dense(5, "tanh"), keras.layers.Dense(3)]
    model, x, y = trained(optimizer, rng, layers=layers)
    slots = optimizer_slots(model.optimizer)[1]
    known = SUMS | set(optimizer_state._SQUARES) | set(optimizer_state._WEIGHTS)
    assert slots and set(slots) <= known
    folded = keras_decorr.fold(model, keep_optimizer=True)
    for name, slot in optimizer_slots(folded.optimizer)[1].items():
        for mine, theirs in zip(slot, slots[name], strict=True):
            assert (mine is None) == (theirs is None)
            assert mine is None or numpy(theirs).any() == numpy(mine).any()
    assert int(folded.optimizer.iterations) == 2
    folded.fit(x, y, verbose=0)
    assert int(folded.optimizer.iterations) == 3


def test_schedules_and_loss_scales_go_on(rng):
    schedule = keras.optimizers.schedules.CosineDecay(1e-2, 10)
    optimizer = keras.optimizers.LossScaleOptimizer(
        keras.optimizers.Adam(schedule), initial_scale=8.0, dynamic_growth_steps=2
    )
    layers = [keras.Input((4,)), keras.layers.Dense(3)]
    model, *_ = trained(optimizer, rng, layers=layers)
    folded = keras_decorr.fold(model, keep_optimizer=True)
    assert float(ops.convert_to_numpy(folded.optimizer.dynamic_scale)) == 16.0
    rates = [x.optimizer.inner_optimizer.learning_rate for x in (model, folded)]
    assert numpy(rates[0]) == numpy(rates[1]) < 1e-2
    assert numpy(optimizer_slots(folded.optimizer.inner_optimizer)[1]["momentums"][0]).any()


def test_what_cannot_be_carried_is_refused(rng, monkeypatch):
    layers = [keras.Input((4,)), keras.layers.Dense(3)]
    model, *_ = trained("adamax", rng, layers=layers)
    with pytest.raises(ValueError, match="is for the optimizers"):
        keras_decorr.fold(model, keep_optimizer=True)
    monkeypatch.setattr(optimizer_state, "_MOST_FEATURES", 3)
    with pytest.raises(ValueError, match="at most 3 features"):
        keras_decorr.fold(model, keep_optimizer=True)
    fresh = keras_decorr.decorrelate(keras.Sequential(layers))
    with pytest.raises(ValueError, match="was trained"):
        keras_decorr.fold(fresh, keep_optimizer=True)
