"""Decorrelating layers beside their Keras twins: what the tests of layers share."""

from keras import ops

from keras_decorr.layers import Decorrelation
from keras_decorr.layers.twin import TWINS
from tests import reference
from tests.reference_layers import CASES, OTHERS

ALL = {name: (case.cls, case.arguments, case.shape) for name, case in CASES.items()} | OTHERS


def numpy(x):
    return ops.convert_to_numpy(x)


def double(x):
    return numpy(x).astype("float64")


def ours(cls):
    return TWINS[cls]


def copy_of(plain, *shapes):
    layer = type(plain).from_config(plain.get_config())
    layer.build(*shapes)
    layer.set_weights(plain.get_weights())
    return layer


def decorrelated(plain, shape, decorrelator):
    """A copy of a built Keras layer, made decorrelating."""
    layer = copy_of(plain, shape)
    ours(type(plain)).attach(layer, decorrelator)
    return layer


def folded(layer, *shapes):
    """A plain copy of a decorrelating layer, its M merged into its weights."""
    new = copy_of(layer, *shapes)
    new.merge()
    new.detach()
    return new


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
