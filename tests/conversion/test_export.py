"""A folded model, exported as Keras exports plain models."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_decorr import fold
from tests.conversion.nets import decorrelate, disturb, outputs, randomize


@pytest.fixture(scope="module")
def folded():
    rng = np.random.default_rng(0)
    i = keras.Input((6, 6, 2))
    x = layers.Conv2D(4, 3, padding="same", use_bias=False, activation="relu")(i)
    x = layers.BatchNormalization()(layers.DepthwiseConv2D(3)(x))
    model = keras.Model(i, layers.Dense(3)(layers.Flatten()(x)))
    randomize(model, rng)
    decorrelated = decorrelate(model)
    disturb(decorrelated, rng)
    x = rng.normal(size=(5, 6, 6, 2)).astype("float32")
    expected = outputs(decorrelated, x)[0]  # Keras does not export what was never called
    return fold(decorrelated), x, expected


def test_a_saved_model(folded, tmp_path, tensorflow_only):
    import tensorflow as tf

    model, x, expected = folded
    model.export(tmp_path / "saved", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "saved")
    served = loaded.serve
    np.testing.assert_allclose(served(x), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(served(x[:1]), expected[:1], rtol=1e-4, atol=1e-5)


def test_litert(folded, tmp_path, tensorflow_only):
    import tensorflow as tf

    model, x, expected = folded
    path = tmp_path / "model.tflite"
    model.export(path, format="litert", verbose=False)
    interpreter = tf.lite.Interpreter(str(path))
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(taken["index"], x.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(taken["index"], x)
    interpreter.invoke()
    np.testing.assert_allclose(
        interpreter.get_tensor(given["index"]), expected, rtol=1e-4, atol=1e-5
    )


def test_onnx(folded, tmp_path, tensorflow_only):
    import onnxruntime as runtime

    model, x, expected = folded
    model.export(tmp_path / "model.onnx", format="onnx", verbose=False)
    session = runtime.InferenceSession(tmp_path / "model.onnx")
    (given,) = session.run(None, {session.get_inputs()[0].name: x})
    np.testing.assert_allclose(given, expected, rtol=1e-4, atol=1e-5)
