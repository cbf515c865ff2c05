"""The noise in a block of `NodePerturbationTape`."""

from contextlib import nullcontext

import keras
import numpy as np
import pytest
from keras import ops

from keras_decorr.layers import DecorDense
from keras_decorr.rules import NodePerturbation
from keras_decorr.tapes.perturbation import Perturbation

pytestmark = pytest.mark.usefixtures("tensorflow_only")


class Fixed:
    """Noise of known values."""

    def __init__(self, value):
        self.value, self.drawn = value, []

    def of(self, call, a):
        self.drawn.append(ops.full(ops.shape(a), self.value))
        return self.drawn[call]


def perturbed(rule, a, noises, blocks):
    layer = DecorDense(2)
    wires = Perturbation([layer], noises, rule.sigma, blocks, nullcontext)
    wires.tiled = True
    return wires, ops.convert_to_numpy(wires.pre_activation(layer, ops.convert_to_tensor(a)))


def test_the_first_block_is_clean_and_each_other_has_its_noise(rng):
    a = np.tile(rng.normal(size=(4, 2)), (3, 1)).astype("float32")
    rule = NodePerturbation(0.5, 2)
    wires, noisy = perturbed(rule, a, [Fixed(1.0), Fixed(-2.0)], 3)
    np.testing.assert_allclose(noisy[:4], a[:4], rtol=1e-6)
    np.testing.assert_allclose(noisy[4:8], a[:4] + 0.5, rtol=1e-5)
    np.testing.assert_allclose(noisy[8:], a[:4] - 1.0, rtol=1e-5)
    losses = [np.array([0.0, 1.0, 2.0, 3.0]), np.ones(4), 2.0 * np.ones(4)]
    parts = [ops.convert_to_tensor(part, "float32") for part in losses]
    (estimate,) = (ops.convert_to_numpy(e) for e in wires.estimates(parts, rule))
    # The mean over the noises of (L(a + sigma xi) - L(a)) / sigma xi.
    expected = ((losses[1] - losses[0]) / 0.5 - 2.0 * (losses[2] - losses[0]) / 0.5) / 2
    np.testing.assert_allclose(estimate[:4], expected[:, None] * np.ones((1, 2)), rtol=1e-5)
    np.testing.assert_array_equal(estimate[4:], np.zeros((8, 2)))


def test_other_layers_are_let_be_and_a_batch_must_be_tiled(rng):
    a = ops.convert_to_tensor(rng.normal(size=(4, 2)))
    wires, _ = perturbed(NodePerturbation(0.5), np.ones((4, 2), "float32"), [Fixed(1.0)], 2)
    assert wires.pre_activation(DecorDense(2), a) is a
    wires.tiled = False
    layer = keras.layers.Identity()
    wires._layers.add(id(layer))
    with pytest.raises(ValueError, match=r"needs 2 times the batch.*shape \(4, 2\)"):
        wires.pre_activation(layer, a)
