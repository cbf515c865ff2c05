"""Two virtual devices train as one does."""

from tests.processes import run_on_tensorflow

TRAIN = """
import functools
import numpy as np, keras, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras_decorr
from keras_decorr.decorrelators import ZCA, DecorrelatedBackprop, Recurrent
from keras_decorr.layers import DecorConv2D, DecorDense
from tests.helpers import undamped

rng = np.random.default_rng(0)
x = rng.normal(size=(64, 6, 6, 2)).astype("float32") + 0.5
y = rng.integers(0, 3, 64).astype("int32")

def train(strategy, cls, structure, **compiled):
    keras.utils.set_random_seed(1)
    with strategy.scope():
        arguments = dict(learning_rate=1e-3, sample_fraction=1.0, structure=structure, groups=3)
        model = keras_decorr.Sequential([
            keras.Input((6, 6, 2)),
            DecorConv2D(4, 3, activation="relu", decorrelator=cls(max_samples=None, **arguments)),
            keras.layers.Flatten(),
            DecorDense(3, activation="softmax", decorrelator=cls(max_samples=None, **arguments)),
        ])
        model.compile(keras.optimizers.SGD(0.05), "sparse_categorical_crossentropy", **compiled)
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(32)
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    history = model.fit(data.with_options(options), epochs=3, verbose=0).history
    return [w.numpy() for w in model.weights], history

two = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
assert two.num_replicas_in_sync == 2
close = functools.partial(Recurrent, tolerance=1e-6)  # else each replica stops where it will
seldom = functools.partial(ZCA, update_every=2)
for cls, structure in (
    (undamped, "monarch"), (DecorrelatedBackprop, "full"), (close, "monarch"), (seldom, "full"),
):
    weights, history = train(two, cls, structure)
    expected, plain = train(tf.distribute.get_strategy(), cls, structure, run_eagerly=True)
    for a, b in zip(weights, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(history["loss"], plain["loss"], rtol=1e-4)
print("equal")
"""


def test_two_devices_equal_one_to_1e_5(tensorflow_only):
    done = run_on_tensorflow(TRAIN)
    assert done.stdout.endswith("equal\n"), done.stderr[-3000:]
