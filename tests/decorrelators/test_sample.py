"""Any split of rows over calls and masks gives what one batch gives."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

import keras_decorr
from keras_decorr.context import collection
from keras_decorr.decorrelators import ZCA, DecorrelatedBackprop, Foldiak, Recurrent
from keras_decorr.decorrelators.sample import Sample, pool
from keras_decorr.layers import DecorDense, Decorrelation
from tests.helpers import undamped

N = 6
# JAX and PyTorch run the same code, and JAX compiles every operation anew for each number of rows.
EXAMPLES = 25 if keras.backend.backend() == "tensorflow" else 4
ALL = {"sample_fraction": 1.0, "max_samples": None}
DECORRELATORS = {
    "norm_preserving": undamped(0.1, structure="full", **ALL),
    "norm_preserving raw": undamped(0.1, "raw", 1.0, structure="full", **ALL),
    "monarch": undamped(0.1, structure="monarch", groups=2, **ALL),
    "low_rank": undamped(0.1, structure="low_rank", rank=2, **ALL),
    "not centred": undamped(0.1, structure="full", center=False, **ALL),
    "decorrelated_backprop": DecorrelatedBackprop(0.5, learning_rate=0.1, **ALL),
    "zca": ZCA(0.5, structure="full", **ALL),
    "recurrent": Recurrent(0.1, structure="full", tolerance=1e-7, steps=500, **ALL),
    "foldiak": Foldiak(0.1, structure="full", **ALL),
}


@st.composite
def split_batches(draw):
    """Rows that count, and calls `(rows, mask)` that together hold just these among others."""
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    calls, kept = [], []
    for _ in range(draw(st.integers(1, 4))):
        size = draw(st.integers(1, 9))
        # The means of the calls differ.
        rows = (rng.normal(size=(size, N)) + rng.normal(size=N)).astype("float32")
        mask = None
        if draw(st.booleans()):
            mask = np.array(draw(st.lists(st.booleans(), min_size=size, max_size=size)))
            rows[~mask] = draw(st.sampled_from([0.0, 1e3, np.nan]))
        calls.append((rows, mask))
        kept.append(rows if mask is None else rows[mask])
    return np.concatenate(kept), calls


def after(decorrelator, calls):
    """The state of a layer after two steps with these calls."""
    layer = Decorrelation(decorrelator)
    layer.build((None, N))
    for _ in range(2):
        with collection.collect() as opened:
            for rows, mask in calls:
                kept = None if mask is None else ops.convert_to_tensor(mask)
                layer(ops.convert_to_tensor(rows), training=True, mask=kept)
        for _, samples in opened.flush():
            layer.update(samples)
    assert int(layer.skipped_updates) == 0
    return [ops.convert_to_numpy(v) for v in layer.matrix_variables]


@pytest.mark.parametrize("name", sorted(DECORRELATORS))
@settings(max_examples=EXAMPLES, deadline=None)
@given(split_batches())
def test_any_split_over_calls_and_masks_gives_what_one_batch_gives(name, split):
    rows, calls = split
    found = after(DECORRELATORS[name], calls)
    assert all(np.isfinite(v).all() for v in found)
    if not len(rows):  # nothing was seen: nothing changes
        layer = Decorrelation(DECORRELATORS[name])
        layer.build((None, N))
        expected = [ops.convert_to_numpy(v) for v in layer.matrix_variables]
    else:
        expected = after(DECORRELATORS[name], [(rows, None)])
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 400)), min_size=1, max_size=4))
def test_sampled_rows_stand_for_the_rows_of_their_call(calls):
    """A call of 400 rows of which 5 are sampled counts for 400."""
    rng = np.random.default_rng(0)
    samples, total, count = [], np.zeros((2, 2)), 0
    for k, rows in calls:
        X = rng.normal(size=(k, 2)).astype("float32")
        samples.append(Sample(ops.convert_to_tensor(X), ops.convert_to_tensor(float(rows))))
        total += rows * X.T @ X / k
        count += rows
    pooled = pool(samples)
    X = ops.convert_to_numpy(pooled.X).astype("float64")
    weights = np.ones(len(X)) if pooled.weights is None else ops.convert_to_numpy(pooled.weights)
    C = (X.T * weights) @ X / weights.sum()
    np.testing.assert_allclose(C, total / count, rtol=1e-4, atol=1e-5)
    assert float(pooled.count) == count


@pytest.mark.parametrize("units", [2, 300])  # M is folded into the kernel, or applied
def test_a_shared_layer_sees_the_rows_of_both_calls(units, rng):
    """Two calls with inputs of other means: as one batch of both, folded or applied."""
    a = rng.normal(size=(64, N)).astype("float32")
    b = (rng.normal(size=(64, N)) + 2.0).astype("float32")

    def trained(inputs, arrays):
        keras.utils.set_random_seed(0)
        shared = DecorDense(units, decorrelator=DECORRELATORS["norm_preserving"])
        outputs = [shared(x) for x in inputs]
        model = keras_decorr.Model(inputs, outputs)
        model.compile(keras.optimizers.SGD(0.0), ["mse"] * len(inputs))
        targets = [np.zeros((len(x), units), "float32") for x in arrays]
        for _ in range(5):
            model.train_on_batch(list(arrays), targets)
        return [ops.convert_to_numpy(v) for v in shared.decorrelation.matrix_variables]

    twice = trained([keras.Input((N,)), keras.Input((N,))], [a, b])
    once = trained([keras.Input((N,))], [np.concatenate([a, b])])
    for found, expected in zip(twice, once, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_an_empty_batch_changes_nothing(rng):
    layer = Decorrelation(undamped(0.1))
    layer(rng.normal(size=(8, N)).astype("float32"), training=True)
    before = [ops.convert_to_numpy(v).copy() for v in layer.matrix_variables]
    layer(np.zeros((0, N), "float32"), training=True)
    for variable, value in zip(layer.matrix_variables, before, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(variable), value)


def test_two_calls_of_one_row_equal_one_batch_of_both():
    """Both rows lie in one direction once they are centred, which a step must not take away whole."""
    rows = np.array(
        [[1.26, -1.97, 2.74, -0.76, -1.14, 0.93], [-0.56, 1.79, -2.05, -1.61, -3.14, 0.85]],
        "float32",
    )
    for name in ("norm_preserving", "monarch"):
        found = after(DECORRELATORS[name], [(rows[:1], None), (rows[1:], None)])
        expected = after(DECORRELATORS[name], [(rows, None)])
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
