"""What a compiled model keeps."""

import keras
import numpy as np
import pytest

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
