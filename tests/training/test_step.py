"""The training step on every backend: once a step, same samples, everything Keras has."""

import keras
import numpy as np
import pytest

import keras_decorr
from keras_decorr.decorrelators import NormPreserving
from keras_decorr.layers import DecorDense, Decorrelation
from tests.helpers import EAGERLY, rewind, whole_batches
from tests.training.nets import (
    Subclassed,
    compiled,
    data,
    decorrelator,
    matrices,
    numpy,
    sequential,
    steps,
)


@pytest.fixture(scope="module")
def compiled_once():
    models = {cls: compiled(sequential(cls)) for cls in (keras_decorr.Sequential, keras.Sequential)}
    return {cls: (model, rewind(model)) for cls, model in models.items()}


@pytest.fixture
def fresh(compiled_once):
    """What `compiled(sequential(cls))` gives, of which the same serves every test."""

    def of(cls=keras_decorr.Sequential):
        model, back = compiled_once[cls]
        back()
        return model

    return of


def test_plain_keras_and_our_models_move_m_alike(rng, fresh):
    x, y = data(rng, 16)
    ours, plain = fresh(), fresh(keras.Sequential)
    for model in (ours, plain):
        for _ in range(3):
            model.train_on_batch(x, y)
    assert steps(ours) == steps(plain) == [3, 3]
    for a, b in zip(ours.weights, plain.weights, strict=True):
        np.testing.assert_allclose(numpy(a), numpy(b), rtol=1e-4, atol=1e-5)


class WithDropout(Subclassed):
    def __init__(self):
        super().__init__()
        self.dropout = keras.layers.Dropout(0.5, name="some_dropout")

    def call(self, x):
        return self.second(self.dropout(self.first(keras.ops.reshape(x, (-1, 72)))))


def test_a_model_that_cannot_tell_its_dropout_that_it_trains_says_so(rng, recwarn):
    x, y = data(rng, 20)
    compiled(Subclassed(), **EAGERLY).fit(x, y, verbose=0)
    assert not [w for w in recwarn if "argument `training`" in str(w.message)]
    with pytest.warns(
        UserWarning, match=r"of WithDropout has no argument `training`.*some_dropout"
    ):
        compiled(WithDropout(), **EAGERLY).fit(x, y, verbose=0)


def test_evaluation_moves_nothing_and_shows_no_decorrelation(rng):
    x, y = data(rng, whole_batches(40, 32))
    model = compiled(sequential(), metrics=["accuracy"])
    logs = model.fit(x, y, validation_data=(x, y), epochs=1, verbose=0).history
    assert set(logs) == {
        "accuracy", "loss", "val_accuracy", "val_loss", "decorrelation_loss", "skipped_updates",
        "decorrelation_rate",
    }  # fmt: skip
    before = matrices(model)
    assert set(model.evaluate(x, y, verbose=0, return_dict=True)) == {"loss", "accuracy"}
    assert len(model.evaluate(x, y, verbose=0)) == 2
    model.predict(x, verbose=0)
    for a, b in zip(before, matrices(model), strict=True):
        np.testing.assert_array_equal(a, b)


def test_decorrelation_loss_is_the_mean_squared_off_diagonal_correlation(rng):
    x, y = data(rng, 20)
    model = compiled(keras_decorr.Sequential([
        keras.Input((72,)), Decorrelation(decorrelator()), keras.layers.Dense(3, "softmax"),
    ]), **EAGERLY)  # fmt: skip
    x = x.reshape(20, 72)
    logs = model.train_on_batch(x, y, return_dict=True)
    Z = x - x.mean(0)
    C = Z.T @ Z / 20
    expected = np.mean(C[~np.eye(72, dtype=bool)] ** 2)
    assert float(logs["decorrelation_loss"]) == pytest.approx(expected, rel=1e-4)


def test_m_moves_once_a_step_whatever_the_number_of_forward_passes(rng):
    x, y = data(rng, 16)
    shared = DecorDense(72, decorrelator=decorrelator())

    class Twice(keras_decorr.Model):
        def __init__(self):
            super().__init__()
            self.shared, self.out = shared, keras.layers.Dense(3, "softmax")

        def call(self, x, training=None):
            x = keras.ops.reshape(x, (-1, 72))
            return self.out(self.shared(self.shared(x, training=training), training=training))

    seen = []

    class Again(keras_decorr.rules.LearningRule):
        def compute_loss(self, model, loss_of, x, y, y_pred, sample_weight):
            seen.append(type(model).__name__)
            return loss_of(y_pred) + 0.0 * keras.ops.sum(model(x, training=True))

    model = Twice()
    compiled(model, learning_rule=Again(), **EAGERLY)
    before = None
    for _ in range(2):
        model.train_on_batch(x, y)
        assert before is None or not np.array_equal(before, matrices(model)[0])
        before = matrices(model)[0]
    assert steps(model) == [2]
    assert "Twice" in seen


def test_compiled_or_not_it_is_the_same_step(rng, backend):
    if backend == "torch":
        pytest.skip("no compiler is tested on PyTorch")
    x, y = data(rng, 38)  # the last batch is short
    eager, *others = models = [
        compiled(sequential(), **arguments)
        for arguments in ({"run_eagerly": True}, {"jit_compile": True}, {"jit_compile": False})
    ]
    for model in models:
        model.fit(x, y, batch_size=16, epochs=2, verbose=0, shuffle=False)
    for model in others:
        for a, b in zip(model.weights, eager.weights, strict=True):
            np.testing.assert_allclose(numpy(a), numpy(b), rtol=1e-4, atol=1e-5)


def test_a_batch_of_one_trains(rng, fresh):
    x, y = data(rng, 3)
    model = fresh()
    model.fit(x, y, batch_size=1, epochs=1, verbose=0)
    assert all(np.isfinite(M).all() for M in matrices(model))


def test_steps_per_execution(rng, backend, fresh):
    if backend == "torch":
        pytest.skip("Keras has no steps_per_execution on PyTorch")
    x, y = data(rng, 64)
    together, alone = compiled(sequential(), steps_per_execution=2), fresh()
    for model in (together, alone):
        model.fit(x, y, batch_size=16, epochs=1, verbose=0, shuffle=False)
        assert steps(model) == [4, 4]
    for a, b in zip(matrices(together), matrices(alone), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_gradient_accumulation_moves_m_at_every_step(rng):
    x, y = data(rng, 64)
    adam = keras.optimizers.Adam(1e-3, gradient_accumulation_steps=4)
    model = compiled(sequential(), optimizer=adam, **EAGERLY)
    kernel = numpy(model.layers[0].kernel).copy()
    model.fit(x[:48], y[:48], batch_size=16, epochs=1, verbose=0, shuffle=False)
    np.testing.assert_array_equal(numpy(model.layers[0].kernel), kernel)
    assert steps(model) == [3, 3]
    model.fit(x[48:], y[48:], batch_size=16, epochs=1, verbose=0, shuffle=False)
    assert not np.array_equal(numpy(model.layers[0].kernel), kernel)


def test_sample_and_class_weights_weigh_the_loss_alone(rng, fresh):
    x, y = data(rng, 16)
    weights = rng.uniform(0.1, 3.0, 16).astype("float32")
    plain, ours = fresh(keras.Sequential), fresh()
    for model in (plain, ours):
        model.fit(x, y, sample_weight=weights, batch_size=16, verbose=0)
        model.fit(x, y, class_weight={0: 1.0, 1: 2.0, 2: 0.0}, batch_size=16, verbose=0)
    for a, b in zip(plain.weights, ours.weights, strict=True):
        np.testing.assert_allclose(numpy(a), numpy(b), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_trains_and_moves_m(policy, rng, backend):
    if backend == "torch":
        pytest.skip("TensorFlow and JAX only")
    keras.config.set_dtype_policy(policy)
    try:
        adam = keras.optimizers.Adam(1e-2)
        model = compiled(sequential(learning_rate=1e-5), optimizer=adam, **EAGERLY)
        x, y = data(rng, 64)
        history = model.fit(x, y, batch_size=16, epochs=6, verbose=0).history
    finally:
        keras.config.set_dtype_policy("float32")
    loss_scaled = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert loss_scaled == (policy == "mixed_float16")
    assert history["loss"][-1] < history["loss"][0]
    for M in matrices(model):
        assert M.dtype == np.float32
        assert np.count_nonzero(M - np.diag(np.diag(M))) > M.size / 2


def test_the_rate_changes_in_training_without_a_new_trace(rng):
    x, y = data(rng, 32)
    traces = []

    class Counting(NormPreserving):
        def step(self, *arguments):
            traces.append(1)
            return super().step(*arguments)

    model = keras_decorr.Sequential([
        keras.Input((72,)), DecorDense(3, "softmax", decorrelator=Counting(1e-2)),
    ])  # fmt: skip
    compiled(model)

    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                self.traced = len(traces)
                self.model.decorrelation_rate = 0.0
                self.before = matrices(self.model)[0]

    stop = Stop()
    model.fit(x.reshape(32, 72), y, batch_size=16, epochs=2, verbose=0, callbacks=[stop])
    if keras.backend.backend() != "torch":
        assert len(traces) == stop.traced
    # At a rate of zero only the gain is left, which scales M.
    after = matrices(model)[0]
    np.testing.assert_allclose(
        after / np.linalg.norm(after), stop.before / np.linalg.norm(stop.before), atol=1e-6
    )
    assert float(model.decorrelation_rate) == 0.0


def test_the_rate_of_a_model_without_m_is_not_set_in_silence():
    model = keras_decorr.Sequential([keras.Input((4,)), keras.layers.Dense(2)], name="plain")
    assert model.decorrelation_rate is None
    with pytest.raises(ValueError, match=r"'plain' has no decorrelating layer.*=0.1"):
        model.decorrelation_rate = 0.1


def test_nan_in_a_batch_is_skipped_counted_and_survived(rng, fresh):
    x, y = data(rng, 16)
    model = fresh()
    model.optimizer.learning_rate = 0.0
    model.train_on_batch(x, y)
    before = matrices(model)
    bad = x.copy()
    bad[0, 0, 0, 0] = np.nan
    history = model.fit(bad, y, batch_size=16, verbose=0).history
    # What the second layer gets depends on what the backend's relu makes of a NaN.
    assert history["skipped_updates"][0] >= 1.0
    assert np.isfinite(history["decorrelation_loss"][0])
    np.testing.assert_array_equal(before[0], matrices(model)[0])
    assert all(np.isfinite(M).all() for M in matrices(model))


def test_freezing_a_model_freezes_m(rng):
    x, y = data(rng, 16)
    model = sequential()
    model.layers[0].trainable = False
    compiled(model, **EAGERLY)
    before = matrices(model)
    model.train_on_batch(x, y)
    after = matrices(model)
    np.testing.assert_array_equal(before[0], after[0])
    assert not np.array_equal(before[1], after[1])


def test_an_unknown_learning_rule_is_refused():
    with pytest.raises(ValueError, match=r"`learning_rule`.*backprop.*Received: 'hebb'"):
        compiled(sequential(), learning_rule="hebb")
