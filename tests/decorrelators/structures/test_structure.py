"""Every structure is one operator: apply, fold and stages agree."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_decorr.decorrelators import structures
from keras_decorr.decorrelators.structures import STRUCTURES, BlockDiagonal, LowRank, Monarch
from keras_decorr.layers import Decorrelation
from tests.helpers import operator as operator_of
from tests.helpers import random_matrices, relative_error, undamped

SIZES = [(1, 4), (2, 16), (7, 3), (27, 16), (48, 4), (50, 7), (100, 10), (1000, 16)]


@pytest.mark.parametrize("structure", sorted(STRUCTURES))
@pytest.mark.parametrize(("n", "groups"), SIZES)
def test_identity_passes_everything_through(structure, n, groups, rng):
    operator = operator_of(structure, n, groups)
    matrices = [ops.convert_to_tensor(M) for M in operator.identities()]
    Z = rng.normal(size=(3, n)).astype("float32")
    np.testing.assert_array_equal(ops.convert_to_numpy(operator.apply(matrices, Z)), Z)
    K = rng.normal(size=(n, 4)).astype("float32")
    np.testing.assert_array_equal(ops.convert_to_numpy(operator.fold(matrices, K)), K)


@pytest.mark.parametrize("structure", sorted(STRUCTURES))
@pytest.mark.parametrize(("n", "groups"), SIZES)
def test_folding_equals_applying(structure, n, groups, rng):
    operator = operator_of(structure, n, groups)
    matrices = random_matrices(operator, rng)
    Z, K = rng.normal(size=(5, n)).astype("float32"), rng.normal(size=(n, 6)).astype("float32")
    applied = ops.convert_to_numpy(operator.apply(matrices, Z)).astype("float64") @ K
    folded = Z.astype("float64") @ ops.convert_to_numpy(operator.fold(matrices, K))
    assert relative_error(folded, applied) < 1e-5


@pytest.mark.parametrize("structure", sorted(STRUCTURES))
def test_shapes_are_those_of_the_identities(structure):
    for n in (1, 7, 50):
        operator = operator_of(structure, n, 4)
        assert operator.shapes == [M.shape for M in operator.identities()]
        assert operator.weights == sum(M.size for M in operator.identities())


@pytest.mark.parametrize("structure", sorted(STRUCTURES))
def test_the_stages_hold_what_passed_through_them(structure, rng):
    """Norms are those of whole rows, and the outputs those of `apply`."""
    operator = operator_of(structure, 50, 5)
    Z = rng.normal(size=(6, 50)).astype("float32")
    matrices = random_matrices(operator, rng)
    stages, U = operator.stages(matrices, ops.convert_to_tensor(Z), ops.ones(6))
    assert len(stages) == len(matrices) - operator.tracked
    np.testing.assert_allclose(ops.convert_to_numpy(stages[0].x2), (Z**2).sum(1), rtol=1e-5)
    out = ops.convert_to_numpy(operator.apply(matrices, Z))
    np.testing.assert_allclose(ops.convert_to_numpy(stages[-1].u2), (out**2).sum(1), rtol=1e-4)
    np.testing.assert_allclose(ops.convert_to_numpy(operator.join(U)), out, rtol=1e-5, atol=1e-6)
    for stage in stages:
        assert stage.Z.shape[stage.row_axis] == stage.U.shape[stage.row_axis] == 6


def test_names_objects_and_configurations():
    for name, cls in STRUCTURES.items():
        assert structures.get(name) == cls()
        assert structures.serialize(structures.get(name)) == name
    for structure in (Monarch(groups=5), BlockDiagonal(7), LowRank(rank=3)):
        assert structures.get(structure) is structure
        saved = structures.serialize(structure)
        assert structures.get(saved) == structure
        assert structure != type(structure)()
        assert hash(structures.get(saved)) == hash(structure)
    assert repr(Monarch(groups=5)) == "Monarch(groups=5)"
    with pytest.raises(ValueError, match=r"`structure` must be one of .*Received: 'banded'"):
        structures.get("banded")
    with pytest.raises(ValueError, match=r"`groups` of Monarch.*Received: 0"):
        Monarch(groups=0)


def test_a_structure_of_ones_own_is_used_and_saved(rng, tmp_path):
    @keras.saving.register_keras_serializable(package="test")
    class Doubled(structures.Full):
        """A full M that starts as twice the identity."""

        name = "doubled"

        def identities(self):
            return [2.0 * M for M in super().identities()]

    layer = Decorrelation(undamped(0.0, structure=Doubled(), center=False))
    model = keras.Sequential([keras.Input((4,)), layer])
    x = rng.normal(size=(3, 4)).astype("float32")
    np.testing.assert_allclose(model.predict(x, verbose=0), 2 * x, rtol=1e-6)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.layers[0].decorrelator.structure == Doubled()
