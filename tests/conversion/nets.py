"""What the tests of the conversion share."""

import functools

import keras
import numpy as np
from keras import ops

import keras_decorr
from keras_decorr.training import decorrelation_layers
from tests.helpers import perturb, undamped

# Everything: whether the layer of the outputs stays plain is a test of its own.
decorrelate = functools.partial(keras_decorr.decorrelate, head=True)

IDENTITY = undamped(center=False, groups=2)
CENTERED = undamped(1e-2, groups=2)


def numpy(x):
    return ops.convert_to_numpy(x)


def outputs(model, x):
    """The outputs in inference, as a list of arrays."""
    return [numpy(y) for y in keras.tree.flatten(model(x, training=False))]


def randomize(model, rng):
    """Random biases and moving averages, as after training: zeros would hide errors."""
    averages = [v for v in model.non_trainable_weights if "moving" in v.path]
    for variable in model.trainable_weights + averages:
        if len(variable.shape) == 1:
            value = numpy(variable)
            variable.assign(value + 0.1 * np.abs(rng.normal(size=value.shape)))


def disturb(model, rng, size=0.1):
    """A random non-symmetric M and random means in every layer."""
    layers = decorrelation_layers(model)
    for layer in layers:
        perturb(layer, rng, size)
        if layer.decorrelator.center:
            layer.moving_mean.assign(size * rng.normal(size=layer.moving_mean.shape))
    return layers


def assert_same(model, other, x, tolerance=1e-5):
    """Two models agree in inference, relative to the size of the outputs."""
    ours, theirs = outputs(model, x), outputs(other, x)
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert a.shape == b.shape
        scale = max(np.abs(b).max(), 1e-3)
        np.testing.assert_allclose(a / scale, b / scale, rtol=0, atol=tolerance)


def differs(model, other, x):
    """Whether two models do not agree."""
    pairs = zip(outputs(model, x), outputs(other, x), strict=True)
    return any(np.abs(a - b).max() > 1e-3 * np.abs(b).max() for a, b in pairs)


def round_trip(model, x, rng, **arguments):
    """Decorrelate a model and fold it back, checking the outputs; gives both models."""
    from keras_decorr import fold

    randomize(model, rng)
    before = [numpy(v).copy() for v in model.variables]
    identity = decorrelate(model, IDENTITY, **arguments)
    assert_same(identity, model, x)
    decorrelated = decorrelate(model, CENTERED, **arguments)
    assert_same(decorrelated, model, x)  # a mean that has seen nothing is zero
    assert disturb(decorrelated, rng)
    assert differs(decorrelated, model, x)
    folded = fold(decorrelated)
    assert_same(folded, decorrelated, x, 1e-4)
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(numpy(variable), value)
    return decorrelated, folded


def reloaded(model, folder, *classes):
    """A model saved and loaded, with classes that are not registered."""
    model.save(folder / "model.keras")
    known = {cls.__name__: cls for cls in classes}
    return keras.saving.load_model(folder / "model.keras", custom_objects=known)


def steps(model):
    """How many times each M was updated."""
    return [int(layer.steps) for layer in decorrelation_layers(model)]
