"""Decorrelating layers beside their Keras twins: what the tests of layers share."""

from keras import ops

from keras_decorr import layers
from keras_decorr.layers import Decorrelation, DecorRNN
from tests import reference
from tests.reference_layers import CASES, OTHERS

ALL = {name: (case.cls, case.arguments, case.shape) for name, case in CASES.items()} | OTHERS


def numpy(x):
    return ops.convert_to_numpy(x)


def double(x):
    return numpy(x).astype("float64")


def ours(cls):
    recurrent = cls in layers.decor_rnn.LAYERS
    return DecorRNN if recurrent else getattr(layers, f"Decor{cls.__name__}")


def decorrelated(plain, shape, decorrelator):
    """A built layer with the weights of a built Keras layer."""
    layer = ours(type(plain)).from_layer(plain, decorrelator)
    layer.build(shape)
    layer.load_plain(plain)
    return layer


def decorrelations(layer):
    parts = layer._flatten_layers()
    return [p for p in parts if isinstance(p, Decorrelation) and p.decorrelator is not None]


def built(cls, arguments, shape, rng, batch=6):
    x = (rng.normal(size=(batch, *shape)) + 0.3).astype("float32")
    plain = cls(**arguments)
    plain.build(x.shape)
    for variable in plain.weights:  # biases, too
        variable.assign(rng.normal(size=variable.shape) * 0.3)
    return plain, x


def explicit(decorrelation, parts):
    """The (n, n) float64 matrix of a full M, that of a part for each part."""
    n = decorrelation.operator.n
    (M,) = (double(M) for M in decorrelation.matrices)
    groups = reference.contiguous(n, parts)
    return reference.assemble(M.reshape(parts, n // parts, n // parts), groups, n)
