"""The guard on two virtual devices: a bad batch for one of them, a rate a thousand times too large."""

from tests.processes import run_on_tensorflow

TRAIN = """
import numpy as np, keras, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras_decorr
from keras_decorr.callbacks import DecorrelationGuard
from keras_decorr.decorrelators import DecorrelatedBackprop
from keras_decorr.layers import DecorDense
from tests.helpers import rewind

rng = np.random.default_rng(0)
x = rng.normal(size=(96, 6)).astype("float32") @ rng.normal(size=(6, 6)).astype("float32")
y = x[:, :1]

keras.utils.set_random_seed(1)
two = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with two.scope():
    d = DecorrelatedBackprop(0.0, learning_rate=1e-3, sample_fraction=1.0, structure="full")
    model = keras_decorr.Sequential([
        keras.Input((6,)),
        DecorDense(8, activation="tanh", decorrelator=d),
        DecorDense(1, decorrelator=None),
    ])
    model.compile(keras.optimizers.Adam(1e-2), "mse")
    back = rewind(model)
guard = DecorrelationGuard(every=1, verbose=0)  # its steps are traced once, too

def train(x, rate):
    with two.scope():
        back()
        model.decorrelation_rate = rate
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(16)
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    model.fit(data.with_options(options), epochs=2, verbose=0, callbacks=[guard])
    assert all(np.all(np.isfinite(w)) for w in model.get_weights()), rate
    assert np.isfinite(model.evaluate(np.nan_to_num(x), y, verbose=0))
    for variable in model.weights:
        first, second = variable.value.values
        np.testing.assert_array_equal(first.numpy(), second.numpy(), err_msg=variable.path)
    return guard.events

assert not train(x, 1e-3)
spoiled = x.copy()
spoiled[33] = np.nan  # of the third batch the part of the first device
assert train(spoiled, 1e-3)
assert train(x, 10.0)
print("finite")
"""


def test_every_run_ends_finite_and_the_devices_agree(tensorflow_only):
    done = run_on_tensorflow(TRAIN)
    assert done.stdout.endswith("finite\n"), done.stderr[-3000:]
