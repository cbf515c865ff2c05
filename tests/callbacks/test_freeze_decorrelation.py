"""M stops at an epoch or a step, and the kernels go on."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_decorr
from keras_decorr.callbacks import FreezeDecorrelation
from keras_decorr.layers import DecorDense
from tests.helpers import undamped

ROWS, BATCH = 48, 16  # three steps an epoch


def model_and_data(rng, **arguments):
    rule = undamped(1e-2, structure="full")
    layers = [DecorDense(6, "relu", decorrelator=rule), DecorDense(2, decorrelator=rule)]
    model = keras_decorr.Sequential([keras.Input((5,)), *layers])
    model.compile(keras.optimizers.SGD(0.01), "mse", **arguments)
    x = (rng.normal(size=(ROWS, 5)) @ rng.normal(size=(5, 5))).astype("float32")
    return model, x, rng.normal(size=(ROWS, 2)).astype("float32")


class Recorder(keras.callbacks.Callback):
    """Keeps M and the kernels after every step."""

    def __init__(self):
        super().__init__()
        self.matrices, self.kernels = [], []

    def on_train_batch_end(self, batch, logs=None):
        layer = self.model.layers[0]
        self.matrices.append(ops.convert_to_numpy(layer.decorrelation.matrices[0]).copy())
        self.kernels.append(ops.convert_to_numpy(layer.kernel).copy())

    def updates(self):
        pairs = zip(self.matrices, self.matrices[1:], strict=False)
        return 1 + sum(not np.array_equal(a, b) for a, b in pairs)


@pytest.mark.parametrize(("arguments", "updates"), [({"epoch": 1}, 3), ({"step": 4}, 4)])
def test_m_is_frozen_and_the_kernel_learns_on(arguments, updates, rng, capsys):
    model, x, y = model_and_data(rng)
    recorder = Recorder()
    callbacks = [FreezeDecorrelation(**arguments, verbose=1), recorder]
    model.fit(x, y, epochs=3, batch_size=BATCH, verbose=0, callbacks=callbacks)
    assert recorder.updates() == updates
    assert [int(layer.steps) for layer in model.decorrelation_layers] == [updates, updates]
    for before, after in zip(recorder.kernels, recorder.kernels[1:], strict=False):
        assert not np.array_equal(before, after)
    assert capsys.readouterr().out.count("M of 2 layers stays") == 1


def test_steps_of_an_earlier_fit_count_and_a_resumed_training_is_frozen(rng, tmp_path):
    model, x, y = model_and_data(rng)
    model.fit(x, y, epochs=1, batch_size=BATCH, verbose=0)
    model.fit(x, y, batch_size=BATCH, verbose=0, callbacks=[FreezeDecorrelation(step=5)])
    assert int(model.layers[0].decorrelation.steps) == 5

    class Interrupt(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    def callbacks():
        backup = keras.callbacks.BackupAndRestore(tmp_path, delete_checkpoint=False)
        return [FreezeDecorrelation(epoch=1), backup]

    model, x, y = model_and_data(rng)
    with pytest.raises(KeyboardInterrupt):
        model.fit(
            x, y, epochs=4, batch_size=BATCH, verbose=0, callbacks=[*callbacks(), Interrupt()]
        )
    again, *_ = model_and_data(rng)
    again.fit(x, y, epochs=4, batch_size=BATCH, verbose=0, callbacks=callbacks())
    assert int(again.layers[0].decorrelation.steps) == 3
    assert int(again.optimizer.iterations) == 12
    for mine, theirs in zip(
        again.layers[0].decorrelation.matrices, model.layers[0].decorrelation.matrices, strict=True
    ):
        np.testing.assert_array_equal(ops.convert_to_numpy(mine), ops.convert_to_numpy(theirs))


def test_a_frozen_layer_trains_the_function_that_folding_gives(rng):
    model, x, y = model_and_data(rng)
    callbacks = [FreezeDecorrelation(epoch=1)]
    model.fit(x, y, epochs=2, batch_size=BATCH, verbose=0, callbacks=callbacks)
    in_training = ops.convert_to_numpy(model(x[:BATCH], training=True))
    folded = ops.convert_to_numpy(keras_decorr.fold(model)(x[:BATCH]))
    np.testing.assert_allclose(in_training, folded, atol=1e-5)


@pytest.mark.parametrize("arguments", [{}, {"epoch": 1, "step": 1}, {"epoch": -1}, {"step": 1.5}])
def test_bad_arguments_are_refused(arguments):
    with pytest.raises(ValueError, match="Received"):
        FreezeDecorrelation(**arguments)


def test_a_model_without_decorrelation_is_refused(rng):
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="no decorrelating layer"):
        model.fit(np.ones((4, 5)), np.ones((4, 2)), verbose=0, callbacks=[FreezeDecorrelation(0)])
