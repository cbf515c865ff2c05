"""What a compiled model keeps."""

import contextlib

import keras
import numpy as np
import pytest
from keras import ops

import keras_decorr
from keras_decorr import fold
from tests.conversion.nets import decorrelate
from tests.helpers import undamped

# PyTorch knows one alone.
STEPS = 1 if keras.backend.backend() == "torch" else 2


def squares(y, y_pred):
    return keras.ops.mean((y - y_pred) ** 2, axis=-1)


@pytest.fixture
def model():
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(4), keras.layers.Dense(1)])
    model.compile(
        keras.optimizers.SGD(0.1, momentum=0.5),
        squares,
        metrics=[keras.metrics.MeanAbsoluteError(name="mae"), squares],
        weighted_metrics=[],
        jit_compile=False,
        steps_per_execution=STEPS,
    )
    return model


def data(rng):
    return rng.normal(size=(16, 6)).astype("float32"), rng.normal(size=(16, 1)).astype("float32")


def test_the_compile_state_survives(model, rng):
    x, y = data(rng)
    model.fit(x, y, verbose=0)
    model.optimizer.learning_rate = 0.05
    before = model.evaluate(x, y, verbose=0, return_dict=True)

    def check(new, of, decorrelates):
        assert new.compiled and new.loss is squares
        assert isinstance(new.optimizer, keras.optimizers.SGD)
        assert new.optimizer is not of.optimizer
        assert float(new.optimizer.learning_rate) == pytest.approx(0.05)
        assert new.optimizer.momentum == 0.5 and int(new.optimizer.iterations) == 0
        assert new.jit_compile is False and new.steps_per_execution == STEPS
        logs = new.fit(x, y, verbose=0).history
        assert {"loss", "mae", "squares"} <= set(logs)
        assert ("decorrelation_loss" in logs) == decorrelates

    new = decorrelate(model)
    check(new, model, True)
    check(fold(new), new, False)
    assert model.evaluate(x, y, verbose=0, return_dict=True) == pytest.approx(before)


def test_the_losses_agree(model, rng):
    x, y = data(rng)
    new = decorrelate(model, undamped(center=False))
    expected = model.evaluate(x, y, verbose=0, return_dict=True)
    assert new.evaluate(x, y, verbose=0, return_dict=True) == pytest.approx(expected, rel=1e-4)


def test_losses_by_output(rng):
    i = keras.Input((6,))
    outputs = {name: keras.layers.Dense(1, name=name)(i) for name in "ab"}
    model = keras.Model(i, outputs)
    model.compile("adam", {"a": "mse", "b": "mae"}, metrics={"a": ["mae"], "b": ["mse"]})
    x, y = data(rng)
    y = {"a": y, "b": y}
    expected = model.evaluate(x, y, verbose=0, return_dict=True)
    new = decorrelate(model)
    assert new.evaluate(x, y, verbose=0, return_dict=True) == pytest.approx(expected, rel=1e-4)
    new.fit(x, y, verbose=0)


def test_the_learning_rule_of_one_of_our_models(rng):
    model = keras_decorr.Sequential(
        [keras.Input((6,)), keras.layers.Dense(3), keras.layers.Dense(1)]
    )
    model.compile("sgd", "mse", learning_rule=keras_decorr.rules.Backprop())
    new = decorrelate(model)
    assert new.learning_rule is not model.learning_rule
    new.compile("sgd", "mse", learning_rule="feedback_alignment")
    x, y = data(rng)
    new.fit(x, y, verbose=0)
    plain = fold(new)
    assert type(plain) is keras.Sequential and plain.compiled
    plain.fit(x, y, verbose=0)


def test_a_model_that_is_not_compiled_stays_so(model):
    plain = keras.Sequential([keras.Input((6,)), *model.layers])
    new = decorrelate(plain)
    assert not new.compiled and not fold(new).compiled


def test_what_cannot_be_compiled_again_is_said(model):
    class Odd(keras.metrics.Metric):
        def __init__(self, needed):
            super().__init__()

        def update_state(self, *args, **kwargs):
            pass

        def result(self):
            return np.zeros(())

    model.compile("sgd", "mse", metrics=[Odd(lambda: 3)])
    with pytest.warns(UserWarning, match="Call `compile` on it"):
        new = decorrelate(model)
    assert not new.compiled


def no_gradients():
    if keras.backend.backend() != "torch":
        return contextlib.nullcontext()
    import torch

    return torch.no_grad()


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("how", ["names", "variables"])
def test_what_is_spared_from_weight_decay_stays_so(how, wrapped):
    i = keras.Input((5, 6))
    y = keras.layers.SeparableConv1D(6, 2, use_bias=False)(i)
    y = keras.Sequential([keras.layers.Dense(6), keras.layers.LayerNormalization()])(y)
    model = keras.Model(i, keras.layers.Dense(1)(y))
    inner = keras.optimizers.AdamW(0.1, weight_decay=0.5)
    if how == "names":
        inner.exclude_from_weight_decay(var_names=["bias", "depthwise"])
    else:
        inner.exclude_from_weight_decay([model.layers[1].weights[0], *model.layers[2].weights])
    model.compile(keras.optimizers.LossScaleOptimizer(inner) if wrapped else inner, "mse")

    def spared(model):
        """The weights that a step with a gradient of zero leaves as they are."""
        weights = model.trainable_weights
        # Not the wrapper, which JAX cannot run outside of a compiled step.
        optimizer = model.optimizer.inner_optimizer if wrapped else model.optimizer
        for v in weights:
            v.assign(ops.ones(v.shape))
        with no_gradients():
            optimizer.apply([ops.zeros(v.shape) for v in weights], weights)
        weights = [v for v in weights if np.all(ops.convert_to_numpy(v) == 1.0)]
        return sorted((v.name.removeprefix("depthwise_"), tuple(v.shape)) for v in weights)

    decorrelated = decorrelate(model, undamped(center=how == "names"))
    assert spared(decorrelated) == spared(model)
    folded = fold(decorrelated)
    new = [("bias", (6,))] if how == "names" else []  # it takes the mean
    assert spared(folded) == sorted(spared(model) + new)
