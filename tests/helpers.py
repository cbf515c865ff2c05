"""Reading and setting the M of a layer as explicit matrices, and what saves compiling a model again."""

import functools

import keras
import numpy as np
import pytest
from keras import ops

from keras_decorr.decorrelators import NormPreserving
from keras_decorr.decorrelators.cost import Work
from keras_decorr.decorrelators.structures import operator_for
from keras_decorr.layers import Decorrelation
from tests import reference

# On TensorFlow a step is not traced, which takes longer than a few steps; JAX could not do without.
EAGERLY = {"run_eagerly": True} if keras.backend.backend() == "tensorflow" else {}


def few_of(cases, quick):
    """Cases for `pytest.mark.parametrize`: what is not quick runs with the marker `combination`.

    Args:
        cases: The values of each case.
        quick: A function that says of the values of a case whether it is one of the few.
    """
    marked = []
    for case in cases:
        values = case if isinstance(case, tuple) else (case,)
        marks = () if quick(*values) else (pytest.mark.combination,)
        marked.append(pytest.param(*values, marks=marks))
    return marked


def whole_batches(n, batch_size):
    """`n` rows; on JAX, which compiles once more for a short last batch, enough to fill that, too."""
    if keras.backend.backend() != "jax":
        return n
    return -(-n // batch_size) * batch_size


def prepared(model, x, y):
    """The compiled model with its optimizer and metrics built: Keras traces a step once, not twice."""
    model.optimizer.build(model.trainable_variables)
    model.compute_metrics(x, y, model(x))
    model.reset_metrics()
    return model


def eagerly(monkeypatch, owner):
    """Lets `owner.build` make models that are not compiled, which takes longer than to train little."""
    build = owner.build

    def eager(*arguments):
        model = build(*arguments)
        model.run_eagerly = True
        return model

    monkeypatch.setattr(owner, "build", eager)


def rewind(model):
    """A function that brings a compiled model and its optimizer back to where they are now."""
    model.optimizer.build(model.trainable_variables)
    variables = [*model.variables, *model.optimizer.variables]
    values = [ops.convert_to_numpy(v).copy() for v in variables]

    def back():
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)

    return back


def operator(structure, n, groups=None, rank=None):
    """The operator of a structure of a name, for `n` features."""
    work = Work(rows=1, columns=n, folds=False)
    return operator_for(n, work, NormPreserving(structure=structure, groups=groups, rank=rank))


def random_matrices(operator, rng):
    """Weights of an operator that are not those of the identity; padding stays zero."""
    matrices = []
    for identity in operator.identities():
        real = identity.max(-1, keepdims=True) * identity.max(-2, keepdims=True)
        noise = rng.normal(size=identity.shape) * real / np.sqrt(identity.shape[-1])
        matrices.append(ops.convert_to_tensor((identity + noise).astype("float32")))
    return matrices


def stage_groups(structure, n, g):
    """The groups of features of every stage of a structure."""
    if structure == "full":
        return [[list(range(n))]]
    if structure == "block_diagonal":
        return [reference.contiguous(n, g)]
    return [reference.contiguous(n, g), reference.monarch_second(n, g)]


def explicit(layer, groups):
    """The (n, n) float64 matrix of every stage of a `Decorrelation`."""
    matrices = []
    for variable, stage in zip(layer.matrices, groups, strict=True):
        M = ops.convert_to_numpy(variable).astype("float64")
        matrices.append(reference.assemble(M if M.ndim == 3 else M[None], stage, layer.operator.n))
    return matrices


def perturb(layer, rng, size=0.3):
    """Give a `Decorrelation` a non-symmetric M."""
    for variable in layer.matrices:
        M = ops.convert_to_numpy(variable)
        noise = rng.normal(size=M.shape) * size / np.sqrt(M.shape[-1])
        real = (M.max(-1, keepdims=True) > 0) * (M.max(-2, keepdims=True) > 0)
        variable.assign(M + noise * real)


def perturbed(decorrelator, structure, k, rng, n=48, g=4):
    """A `Decorrelation` with a non-symmetric M, and rows for it.

    Returns:
        `(layer, groups, before, X, mean)`: the groups and the explicit weights of every stage, and `k`
        float32 rows with the float64 mean that the layer centres by.
    """
    layer = Decorrelation(decorrelator)
    layer.build((None, n))
    perturb(layer, rng)
    groups = stage_groups(structure, n, g)
    X = (rng.normal(size=(k, n)) @ rng.normal(size=(n, n)) / 7 + 0.5).astype("float32")
    mean = X.astype("float64").mean(0) if decorrelator.center else 0.0
    return layer, groups, explicit(layer, groups), X, mean


def rows_of_covariance(rng, k, covariance):
    """`(k, n)` float32 Gaussian rows whose mean square is exactly a covariance."""
    white = np.linalg.qr(rng.normal(size=(k, len(covariance))))[0] * np.sqrt(k)
    return (white @ np.linalg.cholesky(covariance).T).astype("float32")


def off_diagonal(C):
    """Sum of the squares off the diagonal."""
    return np.sum(C**2) - np.sum(np.diag(C) ** 2)


def relative_error(value, expected):
    return np.linalg.norm(value - expected) / np.linalg.norm(expected)


# The norm-preserving rule as the paper has it: M is updated at every step, by the inputs as they are.
undamped = functools.partial(NormPreserving, update_every=1, damping=0.0)
