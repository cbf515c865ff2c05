"""Every rule keeps what the training step of backpropagation keeps."""

from functools import partial

import keras
import numpy as np
import pytest
from keras import ops

import keras_decorr
from keras_decorr.layers import DecorConv2D, DecorDense
from keras_decorr.rules import (
    DirectFeedbackAlignment,
    FeedbackAlignment,
    NodePerturbation,
)
from tests.helpers import EAGERLY, few_of
from tests.rules.nets import (
    UNCOMPILED,
    compiled,
    conv_layers,
    data,
    decorrelator,
    dense_layers,
    matrices,
    numpy,
)

RULES = {
    "feedback": FeedbackAlignment(seed=1),
    "mirroring": FeedbackAlignment("kolen_pollack", seed=1),
    "direct": DirectFeedbackAlignment(seed=1),
    "perturbation": NodePerturbation(0.05, seed=1),
    "derivative": NodePerturbation(estimator="directional_derivative", n_samples=2, seed=1),
    "activity": NodePerturbation(0.05, estimator="activity", seed=1),
}
# The one whose feedback learns, too, and the one that draws.
TWO = ("mirroring", "perturbation")
two_classes = pytest.mark.parametrize("rule", TWO)
every_rule = pytest.mark.parametrize("rule", few_of(RULES, TWO.__contains__))
# Where the estimators of node perturbation take the same way.
every_class = pytest.mark.parametrize("rule", few_of(list(RULES)[:4], TWO.__contains__))


def sequential(rule, layers=conv_layers, **arguments):
    keras.utils.set_random_seed(2)
    return compiled(keras_decorr.Sequential(layers()), RULES[rule], **arguments)


def two_maps():
    return [
        keras.Input((5, 4, 2)),
        DecorConv2D(2, 3, activation="tanh", decorrelator=decorrelator()),
        keras.layers.Flatten(),
        DecorDense(3, decorrelator=None),
    ]


two_dense = partial(dense_layers, units=(16,))


def assert_trained(model, before):
    for v, b in zip(model.trainable_variables, before, strict=True):
        assert np.all(np.isfinite(numpy(v)))
        assert np.any(numpy(v) != b), v.path
    assert all(np.all(np.isfinite(M)) for M in matrices(model))
    assert all(np.any(np.eye(len(M)) != M) for M in matrices(model))


@every_rule
def test_compiled_by_xla_it_is_the_step_that_runs_eagerly(rule, rng, backend):
    if backend != "tensorflow":
        pytest.skip("JAX is compiled in every test, PyTorch in none")
    made = []
    for arguments in ({"jit_compile": True}, {"run_eagerly": True}):
        model = sequential(rule, two_maps, **arguments)
        x, y = data(model, np.random.default_rng(0), 22)  # the last batch is short
        model.fit(x, y, batch_size=8, epochs=1, verbose=0, shuffle=False)
        made.append([numpy(v) for v in model.trainable_variables] + matrices(model))
    for a, b in zip(*made, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@every_rule
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(rule, policy, rng, backend):
    if backend == "torch" or (backend == "jax" and policy == "mixed_float16"):
        pytest.skip("TensorFlow, and bfloat16 on JAX")
    keras.config.set_dtype_policy(policy)
    try:
        model = sequential(rule, two_dense, **EAGERLY)
        before = [numpy(v).copy() for v in model.trainable_variables]
        x, y = data(model, rng, 64)
        model.fit(x, y, batch_size=16, epochs=1, verbose=0)
    finally:
        keras.config.set_dtype_policy("float32")
    assert_trained(model, before)
    assert all(M.dtype == np.float32 for M in matrices(model))


@two_classes
def test_gradients_accumulate_and_steps_join(rule, rng, backend):
    """Two batches of gradients before a step, and two steps an execution."""
    together = {"steps_per_execution": 2} if backend != "torch" else {}
    made = []
    for arguments in (EAGERLY, {**together, **UNCOMPILED}):
        sgd = keras.optimizers.SGD(0.05, gradient_accumulation_steps=2)
        model = sequential(rule, two_dense, optimizer=sgd, **arguments)
        before = [numpy(v).copy() for v in model.trainable_variables]
        x, y = data(model, np.random.default_rng(0), 64)
        model.fit(x, y, batch_size=16, epochs=1, verbose=0, shuffle=False)
        assert [int(d.steps) for d in model.decorrelation_layers] == [4, 4]
        assert_trained(model, before)
        made.append([numpy(v) for v in model.trainable_variables])
    for a, b in zip(*made, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


@every_class
def test_a_batch_of_one_and_sample_weights(rule, rng):
    # Centred by its own mean one sample has no inputs left, so nothing but the biases would learn.
    model = sequential(rule, partial(dense_layers, center=False), **EAGERLY)
    x, y = data(model, rng, 3)
    before = [numpy(v).copy() for v in model.trainable_variables]
    model.fit(x, y, batch_size=1, epochs=1, verbose=0)
    assert_trained(model, before)
    before = [numpy(v).copy() for v in model.trainable_variables]
    model.fit(x, y, sample_weight=np.zeros(3, "float32"), batch_size=3, verbose=0)
    for v, b in zip(model.trainable_variables, before, strict=True):
        np.testing.assert_array_equal(numpy(v), b)


@every_class
def test_a_sequential_model_that_fit_builds(rule, rng):
    x, y = data(sequential("feedback", two_maps), rng, 16)
    model = sequential(rule, lambda: two_maps()[1:], **UNCOMPILED)
    assert not model.built
    model.fit(x, y, batch_size=8, epochs=1, verbose=0)
    before = [numpy(v).copy() for v in model.trainable_variables]
    model.fit(x, y, batch_size=8, epochs=1, verbose=0)
    assert_trained(model, before)


class Subclassed(keras_decorr.Model):
    """No `training` argument, and a call of its own."""

    def __init__(self):
        super().__init__()
        self.first = DecorConv2D(3, 3, activation="tanh", decorrelator=decorrelator())
        self.second = DecorDense(5, activation="tanh", decorrelator=decorrelator())
        self.last = DecorDense(3, decorrelator=decorrelator())

    def call(self, x):
        h = self.first(x)
        return self.last(self.second(ops.reshape(h, (-1, 36))))


@two_classes
def test_a_subclassed_model(rule, rng):
    model = compiled(Subclassed(), RULES[rule], **EAGERLY)
    x = rng.normal(size=(16, 6, 5, 2)).astype("float32")
    y = rng.integers(0, 3, 16).astype("int32")
    model.fit(x, y, batch_size=16, epochs=1, verbose=0)
    before = [numpy(v).copy() for v in model.trainable_variables]
    model.fit(x, y, batch_size=16, epochs=1, verbose=0)
    assert_trained(model, before)
    assert [int(d.steps) for d in model.decorrelation_layers] == [2, 2, 2]


@two_classes
def test_evaluation_and_prediction_know_nothing_of_the_rule(rule, rng):
    model = sequential(rule, two_maps, **UNCOMPILED)
    plain = sequential("feedback", two_maps, **UNCOMPILED)
    for a, b in zip(plain.layers, model.layers, strict=True):
        a.set_weights(b.get_weights())
    x, y = data(model, rng, 8)
    before = [numpy(v).copy() for v in model.variables]
    assert model.evaluate(x, y, verbose=0) == pytest.approx(plain.evaluate(x, y, verbose=0))
    np.testing.assert_array_equal(model.predict(x, verbose=0), plain.predict(x, verbose=0))
    for v, b in zip(model.variables, before, strict=True):
        if "metric" not in v.path and v.name not in ("total", "count"):
            np.testing.assert_array_equal(numpy(v), b)
