"""Small nets for the tests of the rules, and their twins in `tests.reference_rules`."""

import keras
import numpy as np
from keras import ops

import keras_decorr
from keras_decorr.layers import DecorConv2D, DecorDense
from keras_decorr.rules.graph import linear_maps
from tests.helpers import perturb, relative_error, undamped
from tests.reference_rules import ACTIVATIONS, Map

# XLA takes seconds to compile a step, and none of it is ours.
UNCOMPILED = {"jit_compile": False} if keras.backend.backend() == "tensorflow" else {}


def numpy(x):
    return ops.convert_to_numpy(x)


def decorrelator(**arguments):
    return undamped(
        **{"learning_rate": 1e-3, "sample_fraction": 1.0, "structure": "full", **arguments}
    )


def dense_layers(decorr=True, units=(20, 16), activation="tanh", **arguments):
    def of():
        return decorrelator(**arguments) if decorr else None

    return [
        keras.Input((6,)),
        *[DecorDense(n, activation=activation, decorrelator=of()) for n in units],
        DecorDense(3, decorrelator=of()),
    ]


def conv_layers(decorr=True, filters=(4, 3), activation="leaky_relu", **arguments):
    def of():
        return decorrelator(**arguments) if decorr else None

    return [
        keras.Input((6, 5, 2)),
        DecorConv2D(filters[0], (3, 2), activation=activation, decorrelator=of()),
        DecorConv2D(
            filters[1], 3, strides=2, padding="same", activation=activation, decorrelator=of()
        ),
        keras.layers.Flatten(),
        DecorDense(3, decorrelator=of()),
    ]


NETS = {"dense": dense_layers, "conv": conv_layers}


def compiled(model, rule, rng=None, **arguments):
    """Compile with cross-entropy of logits; an `rng` draws M and weights, alike on every backend."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    arguments = {"optimizer": keras.optimizers.SGD(0.05), "loss": loss, **arguments}
    model.compile(learning_rule=rule, **arguments)
    if rng is not None:
        for layer in linear_maps(model):
            layer.bias.assign(rng.normal(size=layer.bias.shape) * 0.3)
            fan_in = np.prod(layer.kernel.shape[:-1])
            layer.kernel.assign(rng.normal(size=layer.kernel.shape) * 1.5 / np.sqrt(fan_in))
            if layer.decorrelation is not None:
                perturb(layer.decorrelation, rng)
    return model


def net(kind, rule, rng, decorr=True, eagerly=False, **arguments):
    keras.utils.set_random_seed(2)
    model = keras_decorr.Sequential(NETS[kind](decorr, **arguments))
    return compiled(model, rule, rng, run_eagerly=eagerly)


def data(model, rng, n):
    x = (rng.normal(size=(n, *model.input_shape[1:])) + 0.5).astype("float32")
    return x, rng.integers(0, 3, n).astype("int32")


def matrices(model):
    return [numpy(M).copy() for d in model.decorrelation_layers for M in d.matrices]


def double(x):
    return numpy(x).astype("float64")


def twin(model):
    """The net as `Map`s, with our weights."""
    maps = []
    for layer in linear_maps(model):
        f, slope = ACTIVATIONS[keras.activations.serialize(layer.activation)]
        window, places, d = None, (), layer.decorrelation
        if isinstance(layer, DecorConv2D):
            window = (layer.kernel_size, layer.strides, layer.dilation_rate, layer.padding)
            places = layer.output.shape[1:-1]
        W = double(layer.kernel)
        maps.append(
            Map(
                W.reshape(-1, W.shape[-1]),
                double(layer.bias),
                f,
                slope,
                None if d is None else double(d.matrices[0]),
                d is not None and d.decorrelator.center,
                window,
                places,
            )
        )
    return maps


def feedback(model, key="feedback"):
    """Every B, as matrices, in the order of the linear maps; None for the first."""
    found = []
    for layer in linear_maps(model):
        B = model.learning_rule_state.of(layer, key)
        found.append(None if B is None else double(B).reshape(-1, B.shape[-1]))
    return found


def pairs(found):
    """Gradients in the order of `trainable_variables` as `[(dW, db), ...]`."""
    flat = [g.reshape(-1, g.shape[-1]) if g.ndim > 1 else g for g in found]
    return list(zip(flat[::2], flat[1::2], strict=True))


def assert_close(found, expected, tolerance=1e-5):
    """Every dW and db is as expected, to a relative error in the norm."""
    found = pairs(found)
    assert len(found) == len(expected)
    for got, wanted in zip(found, expected, strict=True):
        for a, b in zip(got, wanted, strict=True):
            assert np.linalg.norm(b) > 0
            assert relative_error(a, b) < tolerance


def per_layer(found):
    """Gradients in the order of `trainable_variables`, one vector (dW, db) for each layer."""
    return [np.concatenate([dW.ravel(), db]) for dW, db in pairs(found)]


def cosine(a, b):
    return np.sum(a * b) / (np.linalg.norm(a) * np.linalg.norm(b))
