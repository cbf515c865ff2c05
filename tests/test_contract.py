"""Every decorrelator in every structure in every layer by every rule: trains, repeats, saves."""

import itertools

import keras
import numpy as np
import pytest
from keras import ops

import keras_decorr
from keras_decorr.decorrelators import DECORRELATORS
from keras_decorr.decorrelators.structures import STRUCTURES
from keras_decorr.layers import (
    DecorConv2D,
    DecorConv2DTranspose,
    DecorDense,
    DecorDepthwiseConv2D,
    DecorEinsumDense,
    Decorrelation,
)
from keras_decorr.rules import RULES
from keras_decorr.training import decorrelation_layers
from tests.helpers import few_of, rewind, whole_batches

LAYERS = {
    "Decorrelation": (Decorrelation, {}, (6,)),
    "DecorDense": (DecorDense, {"units": 5}, (6,)),
    "DecorDense on sequences": (DecorDense, {"units": 5}, (4, 6)),
    "DecorConv2D": (DecorConv2D, {"filters": 3, "kernel_size": 2}, (5, 4, 2)),
}

# Built on the ones above: of these one structure will do.
FURTHER = {
    "DecorConv2D with groups": (
        DecorConv2D,
        {"filters": 4, "kernel_size": 2, "groups": 2},
        (5, 4, 2),
    ),
    "DecorConv2DTranspose": (DecorConv2DTranspose, {"filters": 3, "kernel_size": 2}, (5, 4, 2)),
    "DecorDepthwiseConv2D": (DecorDepthwiseConv2D, {"kernel_size": 2}, (5, 4, 2)),
    "DecorEinsumDense": (
        DecorEinsumDense,
        {"equation": "abc,cde->abde", "output_shape": (4, 2, 3), "bias_axes": "de"},
        (4, 6),
    ),
}
# What a layer or a structure asks of a decorrelator, these two tell; of the others a few will do.
THOROUGH = ("decorrelated_backprop", "norm_preserving")
OTHERS = sorted(set(DECORRELATORS) - set(THOROUGH))
CONTRACTS = [
    *itertools.product(THOROUGH, sorted(LAYERS), sorted(STRUCTURES)),
    *itertools.product(THOROUGH, sorted(FURTHER), ["full"]),
    *(
        (name, kind, structure)
        for name in OTHERS
        for kind, structure in (
            ("Decorrelation", "low_rank"),
            ("DecorDense", "full"),
            ("DecorDense on sequences", "block_diagonal"),
            ("DecorConv2D", "monarch"),
            ("DecorConv2D", "channel"),
            ("DecorConv2D with groups", "full"),
        )
    ),
]
ALL = {**LAYERS, **FURTHER}


def quick(name, kind, structure):
    """Every layer, every structure and every decorrelator, but not all with all."""
    if name == "norm_preserving":
        return structure in ("full", "monarch") or kind == "DecorConv2D"
    return (kind, structure) in (("DecorDense", "full"), ("DecorConv2D", "monarch"))


@pytest.mark.parametrize(("name", "kind", "structure"), few_of(CONTRACTS, quick))
def test_contract(name, kind, structure, rng, tmp_path):
    cls, arguments, shape = ALL[kind]
    # "channel" is an old spelling that every rule takes.
    if structure not in (*DECORRELATORS[name].structures, "channel"):
        with pytest.raises(ValueError, match=f"`structure`.*Received: '{structure}'"):
            DECORRELATORS[name](structure=structure)
        return
    decorrelator = DECORRELATORS[name](learning_rate=1e-2, structure=structure, groups=2)
    rows = whole_batches(30, 8)
    x = (rng.normal(size=(rows, *shape)) + 0.5).astype("float32")

    def build():
        keras.utils.set_random_seed(3)
        return keras_decorr.Sequential(
            [
                keras.Input(shape),
                cls(**arguments, decorrelator=decorrelator),
                keras.layers.Flatten(),
                keras.layers.Dense(1),
            ]
        )

    def values(variables):
        return [ops.convert_to_numpy(v).copy() for v in variables]

    def train(model):
        model.fit(x, x.reshape(rows, -1)[:, :1], batch_size=8, epochs=2, verbose=0, shuffle=False)
        return values(model.weights)

    model = build()
    for a, b in zip(values(model.weights), values(build().weights), strict=True):
        np.testing.assert_array_equal(a, b)
    model.compile(keras.optimizers.SGD(1e-2), "mse")
    start = values(decorrelation_layers(model)[0].matrices)
    back = rewind(model)
    weights = train(model)
    assert all(np.isfinite(w).all() for w in weights)
    back()
    for a, b in zip(weights, train(model), strict=True):
        np.testing.assert_array_equal(a, b)
    layer = decorrelation_layers(model)[0]
    assert int(layer.steps) == 8
    for M, before in zip(layer.matrices, start, strict=True):
        M = ops.convert_to_numpy(M)
        assert not np.array_equal(M, before)
        padding = before.max(-1) == 0
        assert not M[padding].any()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(ops.convert_to_numpy(loaded(x)), ops.convert_to_numpy(model(x)))


@pytest.mark.parametrize(
    ("name", "kind"),
    few_of(
        [
            *itertools.product(THOROUGH, sorted(LAYERS)),
            *itertools.product(OTHERS, ["DecorDense", "DecorConv2D"]),
            *(("norm_preserving", kind) for kind in sorted(FURTHER)),
        ],
        lambda name, kind: name == "norm_preserving" and kind in LAYERS,
    ),
)
def test_every_rule_in_every_layer(name, kind, rng):
    """All weights learn by it, and M from the same samples as by backpropagation."""
    cls, arguments, shape = ALL[kind]
    x = (rng.normal(size=(30, *shape)) + 0.5).astype("float32")
    eagerly = keras.backend.backend() != "jax"  # where compiling a step takes longer than the step
    expected = None
    for rule in ["backprop", *sorted(RULES)]:
        keras.utils.set_random_seed(3)
        decorrelator = DECORRELATORS[name](learning_rate=1e-2, groups=2)
        model = keras_decorr.Sequential(
            [
                keras.Input(shape),
                DecorDense(6, "tanh", decorrelator=None)
                if len(shape) < 3
                else DecorConv2D(2, 1, activation="tanh", decorrelator=None),
                cls(**arguments, decorrelator=decorrelator),
                keras.layers.Activation("tanh"),
                keras.layers.Flatten(),
                DecorDense(1, decorrelator=None),
            ]
        )
        model.compile(keras.optimizers.SGD(0.1), "mse", learning_rule=rule, run_eagerly=eagerly)
        before = [ops.convert_to_numpy(w).copy() for w in model.trainable_weights]
        model.train_on_batch(x, x.reshape(30, -1)[:, :1])
        for weight, b in zip(model.trainable_weights, before, strict=True):
            assert np.all(np.isfinite(ops.convert_to_numpy(weight)))
            assert np.any(ops.convert_to_numpy(weight) != b), (rule, weight.path)
        found = [ops.convert_to_numpy(M) for M in decorrelation_layers(model)[0].matrices]
        for M, b in zip(found, expected or found, strict=True):
            np.testing.assert_allclose(M, b, rtol=1e-5, atol=1e-6)
        expected = found
