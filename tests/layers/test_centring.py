"""What a layer subtracts: the mean of the batch, the moving mean, or nothing."""

import itertools
import warnings

import keras
import numpy as np
import pytest
from keras import ops

import keras_decorr
from keras_decorr.backend.autodiff import vjp
from keras_decorr.layers import DecorConv2D, DecorDense, Decorrelation
from keras_decorr.training import gradients
from tests.helpers import undamped

LAYERS = {
    "dense": (lambda d: DecorDense(3, decorrelator=d), (8, 5)),
    "folded": (lambda d: DecorDense(3, decorrelator=d), (2, 6, 5)),
    "alone": (Decorrelation, (8, 5)),
    "conv": (lambda d: DecorConv2D(3, 2, decorrelator=d), (4, 4, 4, 2)),
}


def numpy(x):
    return ops.convert_to_numpy(x)


def decorrelation(layer):
    return getattr(layer, "decorrelation", layer)


@pytest.mark.parametrize("name", LAYERS)
def test_with_the_moving_mean_no_sample_depends_on_the_others(name, rng):
    """In training, too; and the moving mean is that which the mean of the batch leads to."""
    make, shape = LAYERS[name]
    found = {}
    for center in ("batch", "moving"):
        keras.utils.set_random_seed(0)
        layer = make(undamped(0.0, center=center))
        first, second = (rng.normal(1.0, size=shape).astype("float32") for _ in range(2))
        with keras_decorr.context.collection.collect():  # M stays as it is
            layer(first, training=True)
        layer(first, training=True)
        changed = second.copy()
        changed[1:] += 1.0
        with keras_decorr.context.collection.collect():
            outputs = [numpy(layer(x, training=True))[0] for x in (second, changed)]
        found[center] = np.abs(outputs[0] - outputs[1]).max()
        expected = first.reshape(-1, shape[-1]).mean(0)
        if name != "conv":
            np.testing.assert_allclose(
                numpy(decorrelation(layer).moving_mean), expected, rtol=1e-4, atol=1e-6
            )
    assert found["moving"] == 0.0
    assert found["batch"] > 0.1


def test_the_moving_mean_gets_no_gradient(rng):
    """The gradient of the inputs of a sum is that without centring."""
    x = rng.normal(1.0, size=(8, 5)).astype("float32")
    gradients = {}
    for center in ("moving", False):
        keras.utils.set_random_seed(0)
        layer = DecorDense(3, decorrelator=undamped(0.0, center=center))
        layer.build((8, 5))
        upstream = ops.ones((8, 3))
        gradients[center] = vjp(
            lambda x, layer=layer: layer(x, training=True), ops.convert_to_tensor(x), upstream
        )
    np.testing.assert_allclose(numpy(gradients["moving"]), numpy(gradients[False]), rtol=1e-5)


@pytest.mark.parametrize("center", ["batch", "moving", False])
def test_batches_of_one_row_learn(center, rng):
    """../shared/cases/models/03: centred by its own mean, every input would be zero."""
    x = rng.normal(size=(64, 4)).astype("float32")
    y = x @ np.array([[1.0], [2.0], [-1.0], [0.5]], "float32")
    model = keras_decorr.Sequential([
        keras.Input((4,)),
        DecorDense(16, activation="tanh", decorrelator=undamped(center=center)),
        DecorDense(1, decorrelator=undamped(center=center)),
    ])  # fmt: skip
    model.compile(keras.optimizers.Adam(1e-2), "mse")
    loss = model.fit(x, y, batch_size=1, epochs=8, verbose=0).history["loss"]
    assert loss[-1] < 0.3 * y.var()


def test_a_batch_that_is_known_to_have_one_row_warns():
    layer = DecorDense(2)
    with pytest.warns(UserWarning, match="batch of one row"):
        layer(np.ones((1, 4), "float32"), training=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layer(np.ones((1, 4), "float32"))
        layer(np.ones((1, 3, 4), "float32"), training=True)
        DecorDense(2, decorrelator=undamped(center="moving"))(
            np.ones((1, 4), "float32"), training=True
        )


def test_center_is_checked_and_saved():
    for given, kept in ((True, "batch"), ("batch", "batch"), ("moving", "moving"), (False, False)):
        assert undamped(center=given).get_config()["center"] == kept
    with pytest.raises(ValueError, match="`center` of NormPreserving must be 'batch'"):
        undamped(center="none")


def test_m_changes_when_it_is_due_and_the_moving_mean_always(rng):
    """With `update_every` M changes in every third step alone, and the moving mean in each."""
    layer = DecorDense(3, decorrelator=undamped(0.1, update_every=3))
    model = keras_decorr.Sequential([keras.Input((5,)), layer])
    model.compile(keras.optimizers.SGD(0.01), "mse")
    matrices, means, logs = [], [], []
    x = rng.normal(1.0, size=(8, 5)).astype("float32")
    for step in range(7):
        logs.append(model.train_on_batch(x + step, x[:, :3], return_dict=True))
        matrices.append(numpy(layer.decorrelation.matrices[0]).copy())
        means.append(numpy(layer.decorrelation.moving_mean).copy())
    changed = [not np.array_equal(a, b) for a, b in itertools.pairwise(matrices)]
    assert changed == [False, False, True, False, False, True]
    assert all(not np.array_equal(a, b) for a, b in itertools.pairwise(means))


@pytest.mark.parametrize("center", ["batch", "moving", False])
@pytest.mark.parametrize("kind", ["dense", "conv"])
def test_a_gradient_penalty_in_a_graph_equals_the_eager_one(center, kind, tensorflow_only):
    """../shared/cases/models/01: the gradient of a gradient, through the mean of the batch, too."""
    import tensorflow as tf

    decorrelator = undamped(center=center)
    first = {
        "dense": DecorDense(4, activation="tanh", decorrelator=decorrelator),
        "conv": DecorConv2D(4, 3, activation="tanh", decorrelator=decorrelator),
    }[kind]
    model = keras.Sequential(
        [keras.Input((6, 6, 1)), first, keras.layers.Flatten(), keras.layers.Dense(1)]
    )
    x = tf.random.normal((4, 6, 6, 1), seed=1)

    def penalty(x):
        with keras_decorr.context.collection.collect(), tf.GradientTape() as outer:
            with tf.GradientTape() as inner:
                inner.watch(x)
                y = model(x, training=True)
            loss = tf.reduce_mean(tf.square(inner.gradient(y, x)))
        return loss, outer.gradient(loss, model.trainable_variables)

    eager, graph = penalty(x), tf.function(penalty)(x)
    assert float(eager[0]) > 0.0
    for one, other in zip(keras.tree.flatten(eager), keras.tree.flatten(graph), strict=True):
        if one is not None:
            np.testing.assert_allclose(numpy(one), numpy(other), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("center", ["batch", "moving"])
def test_a_critic_sees_that_the_means_of_two_batches_differ(center, rng):
    """../shared/cases/models/02: centred by its own mean, each batch has the same mean output."""
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(16, activation="relu"), keras.layers.Dense(1)]
    plain = keras.Sequential([keras.Input((8,)), *layers])
    decorrelator = undamped(1e-3, sample_fraction=1.0, center=center)
    critic = keras_decorr.decorrelate(plain, decorrelator, head=True)
    real, fake = (rng.normal(m, size=(64, 8)).astype("float32") for m in (3.0, -3.0))
    for batch in (real, fake) * 10:  # the moving mean lies between the two
        with keras_decorr.context.collection.collect() as samples:
            critic(batch, training=True)
        critic.decorrelate(samples)
    # The loss is mean(critic(fake)) - mean(critic(real)), its gradient the sum of those of both terms.
    critic.compile("sgd", loss=lambda sign, outputs: sign * outputs)
    both = [
        gradients(critic, batch, np.full((64, 1), sign, "float32"))
        for batch, sign in ((fake, 1.0), (real, -1.0))
    ]
    with keras_decorr.context.collection.collect():
        loss = np.diff([numpy(critic(x, training=True)).mean() for x in (real, fake)])[0]
    kernels = [
        np.linalg.norm(a + b)
        for v, a, b in zip(critic.trainable_variables, *both, strict=True)
        if v.path.endswith("kernel")
    ]
    assert len(kernels) == 2
    if center == "moving":
        assert abs(loss) > 0.1
        assert min(kernels) > 0.1
    else:
        assert abs(loss) < 1e-4
        assert kernels[-1] < 1e-3


def test_a_bad_batch_is_counted_in_a_step_without_an_update(rng):
    layer = DecorDense(3, decorrelator=undamped(update_every=3))
    x = rng.normal(size=(8, 5)).astype("float32")
    layer(x, training=True)
    layer(x * np.nan, training=True)
    assert int(numpy(layer.decorrelation.skipped_updates)) == 1
    assert np.isfinite(numpy(layer.decorrelation.moving_mean)).all()
