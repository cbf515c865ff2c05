"""Two virtual devices train as one does, by every rule."""

from tests.processes import run_on_tensorflow

TRAIN = """
import numpy as np, keras, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras_decorr
from keras_decorr.decorrelators import NormPreserving
from keras_decorr.layers import DecorConv2D, DecorDense
from keras_decorr.rules import DirectFeedbackAlignment, FeedbackAlignment, NodePerturbation
from tests.helpers import undamped

rng = np.random.default_rng(0)
x = rng.normal(size=(64, 6, 6, 2)).astype("float32") + 0.5
y = rng.integers(0, 3, 64).astype("int32")

def of():
    return undamped(1e-3, sample_fraction=1.0, max_samples=None, structure="full")

def train(strategy, rule, **arguments):
    keras.utils.set_random_seed(1)
    with strategy.scope():
        model = keras_decorr.Sequential([
            keras.Input((6, 6, 2)),
            DecorConv2D(4, 3, activation="relu", decorrelator=of()),
            DecorConv2D(4, 2, activation="relu", decorrelator=of()),
            keras.layers.Flatten(),
            DecorDense(3, activation="softmax", decorrelator=of()),
        ])
        model.compile(
            keras.optimizers.SGD(0.05), "sparse_categorical_crossentropy", learning_rule=rule,
            **arguments)
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(32)
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    history = model.fit(data.with_options(options), epochs=2, verbose=0).history
    return model, history

two = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
assert two.num_replicas_in_sync == 2
for rule in (FeedbackAlignment("kolen_pollack", seed=1), DirectFeedbackAlignment(seed=1)):
    model, history = train(two, rule)
    expected, plain = train(tf.distribute.get_strategy(), rule, run_eagerly=True)
    for a, b in zip(model.weights, expected.weights, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-5, rtol=1e-5, err_msg=a.path)
    np.testing.assert_allclose(history["loss"], plain["loss"], rtol=1e-4)

# The noise of each replica is its own, so this is not the run of one device.
for estimator in ("finite_difference", "directional_derivative"):
    model, history = train(two, NodePerturbation(0.01, estimator=estimator, seed=1))
    assert np.all(np.isfinite(history["loss"]))
    for variable in model.weights:
        first, second = variable.value.values
        np.testing.assert_array_equal(first.numpy(), second.numpy(), err_msg=variable.path)
print("equal")
"""


def test_two_devices_equal_one_to_1e_5(tensorflow_only):
    done = run_on_tensorflow(TRAIN)
    assert done.stdout.endswith("equal\n"), done.stderr[-3000:]
