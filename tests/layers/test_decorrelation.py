"""The stand-alone layer: ranks, masks, means, freezing, bad input."""

import itertools

import keras
import numpy as np
import pytest
from keras import ops

from keras_decorr.backend.keras_internals import get_keras_mask
from keras_decorr.context import collection
from keras_decorr.decorrelators import (
    ZCA,
    DecorrelatedBackprop,
    Foldiak,
    Recurrent,
)
from keras_decorr.layers import DecorDense, Decorrelation
from keras_decorr.layers.decorrelation import row_count
from tests import reference
from tests.helpers import undamped


def decorrelator(**arguments):
    return undamped(
        **{"learning_rate": 1e-2, "sample_fraction": 1.0, "structure": "full", **arguments}
    )


def numpy(x):
    return ops.convert_to_numpy(x)


@pytest.mark.parametrize("shape", [(6, 5), (6, 3, 5), (6, 2, 3, 5)])
def test_any_rank_acts_on_the_last_axis(shape, rng):
    x = rng.normal(size=shape).astype("float32")
    flat, layer = Decorrelation(decorrelator()), Decorrelation(decorrelator())
    flat(x.reshape(-1, 5), training=True)
    assert tuple(layer(x, training=True).shape) == shape
    # Elements off the diagonal are small sums, whose rounding depends on the order of the terms.
    np.testing.assert_allclose(
        numpy(layer.matrices[0]), numpy(flat.matrices[0]), rtol=1e-6, atol=1e-7
    )
    np.testing.assert_allclose(
        numpy(layer(x)).reshape(-1, 5), numpy(flat(x.reshape(-1, 5))), atol=1e-6
    )


def test_rank_one_and_unknown_features_are_refused():
    with pytest.raises(ValueError, match=r"rank 2 or more.*Received: input_shape=\(4,\)"):
        Decorrelation()(np.ones(4, "float32"))
    with pytest.raises(ValueError, match=r"last axis .* must be known"):
        Decorrelation()(keras.Input((3, None)))


def test_none_passes_through(rng):
    x = rng.normal(size=(4, 3)).astype("float32")
    layer = Decorrelation(None)
    np.testing.assert_array_equal(numpy(layer(x, training=True)), x)
    assert layer.weights == []


def test_the_moving_mean_weights_batches_by_their_rows_and_serves_inference(rng):
    """The mean of all rows, those of a batch `t` steps ago by `momentum^t`."""
    layer = Decorrelation(decorrelator(learning_rate=0.0, momentum=0.9))
    batches = [rng.normal(size=(rows, 4)).astype("float32") + 5.0 for rows in (8, 8, 5, 1)]
    for batch in batches:
        layer(batch, training=True)
    weights = np.concatenate([np.full(len(b), 0.9**t) for t, b in enumerate(reversed(batches))])
    rows = np.concatenate(batches[::-1])
    mean = np.average(rows, axis=0, weights=weights)
    np.testing.assert_allclose(numpy(layer.moving_mean), mean, rtol=1e-5)
    M = numpy(layer.matrices[0])
    np.testing.assert_allclose(
        numpy(layer(batches[0])), (batches[0] - mean) @ M.T, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("dtype", ["uint8", "int32", "bool"])
@pytest.mark.parametrize("units", [3, 300])  # M is folded into the kernel, or applied
def test_integers_are_inputs_as_for_keras(dtype, units, rng):
    x = rng.integers(0, 2 if dtype == "bool" else 4, (20, 5)).astype(dtype)
    layer, of_floats = (
        keras.Sequential(
            [Decorrelation(decorrelator()), DecorDense(units, decorrelator=decorrelator())]
        )
        for _ in range(2)
    )
    for model, inputs in ((layer, x), (of_floats, x.astype("float32"))):
        model.build(inputs.shape)
        model.layers[1].kernel.assign(np.eye(5, units, dtype="float32"))
        for _ in range(3):
            model(inputs, training=True)
    expected = numpy(of_floats(x.astype("float32")))
    assert expected.std() > 0.02
    np.testing.assert_allclose(numpy(layer(x)), expected, rtol=1e-5, atol=1e-5)


def test_a_mask_of_the_first_axes_counts_for_all_rows_behind_them(rng):
    x = rng.normal(size=(6, 4, 2, 3)).astype("float32")
    mask = rng.random((6, 4)) < 0.6
    whole = np.broadcast_to(mask[..., None], x.shape[:-1])
    for make in (
        lambda: Decorrelation(decorrelator()),
        lambda: DecorDense(2, decorrelator=decorrelator()),
    ):
        found = []
        for each in (mask, whole):
            layer = make()
            layer(x, training=True, mask=ops.convert_to_tensor(each))
            inner = getattr(layer, "decorrelation", layer)
            found.append([numpy(inner.matrices[0]), numpy(inner.moving_mean)])
        for a, b in zip(*found, strict=True):
            np.testing.assert_array_equal(a, b)
        np.testing.assert_allclose(found[0][1], x[mask].mean((0, 1)), rtol=1e-5)


def test_a_frozen_layer_runs_as_in_inference(rng):
    x = rng.normal(size=(8, 4)).astype("float32")
    layer = Decorrelation(decorrelator())
    layer(x, training=True)
    layer.trainable = False
    before = [numpy(v).copy() for v in layer.variables]
    np.testing.assert_array_equal(numpy(layer(x, training=True)), numpy(layer(x)))
    for variable, value in zip(layer.variables, before, strict=True):
        np.testing.assert_array_equal(numpy(variable), value)


def test_masked_steps_do_not_count_and_the_mask_passes(rng):
    x = rng.normal(size=(6, 4, 3)).astype("float32")
    mask = np.arange(4)[None] < np.array([4, 3, 4, 1, 2, 4])[:, None]
    spoiled = np.where(mask[..., None], x, np.nan).astype("float32")
    for d in (
        undamped(0.1, sample_fraction=1.0),
        undamped(0.1, "raw", 1.0, sample_fraction=1.0, structure="full"),
        DecorrelatedBackprop(0.9, learning_rate=0.1, sample_fraction=1.0),
        ZCA(0.5, sample_fraction=1.0),
        Recurrent(0.1, sample_fraction=1.0),
        Foldiak(0.1, sample_fraction=1.0),
    ):
        layers = Decorrelation(d), Decorrelation(d)
        for layer, inputs, kept in zip(layers, (spoiled, x[mask]), (mask, None), strict=True):
            layer(inputs, training=True, mask=kept)
        for ours, expected in zip(*(layer.variables for layer in layers), strict=True):
            np.testing.assert_allclose(numpy(ours), numpy(expected), rtol=1e-5, atol=1e-6)
        assert int(numpy(layers[0].skipped_updates)) == 0
    embedded = keras.layers.Embedding(5, 3, mask_zero=True)(np.array([[1, 2, 0]]))
    out = Decorrelation()(embedded)
    assert get_keras_mask(out) is not None


def test_a_batch_that_is_masked_as_a_whole_changes_nothing(rng):
    x = rng.normal(size=(6, 4, 3)).astype("float32")
    nothing = np.zeros((6, 4), bool)
    for d in (undamped(0.1), DecorrelatedBackprop(0.5, learning_rate=0.1), ZCA(0.5)):
        for make in (lambda d: Decorrelation(d), lambda d: DecorDense(2, decorrelator=d)):
            layer = make(d)
            inner = getattr(layer, "decorrelation", layer)
            layer(x + 3.0, training=True)
            before = [numpy(v).copy() for v in inner.matrix_variables]
            inference = numpy(layer(x))
            np.testing.assert_allclose(
                numpy(layer(x, training=True, mask=nothing)), inference, rtol=1e-5, atol=1e-6
            )
            assert int(inner.skipped_updates) == 0
            for variable, old in zip(inner.matrix_variables, before, strict=True):
                np.testing.assert_array_equal(numpy(variable), old)


def test_calls_with_masks_join_by_the_rows_that_count(rng):
    x = rng.normal(size=(2, 5, 4, 3)).astype("float32")
    mask = np.arange(4)[None] < np.array([4, 1, 2, 4, 3])[:, None]
    samples = []
    for layer, calls in (
        (Decorrelation(decorrelator(center=False)), [(x[0], mask), (x[1], None)]),
        (Decorrelation(decorrelator(center=False)), [(x[0][mask], None), (x[1], None)]),
    ):
        layer.build((None, 3))
        with collection.collect() as opened:
            for inputs, kept in calls:
                layer.observe(inputs, row_count(inputs, kept), None, kept)
        ((_, calls),) = opened.flush()
        layer.update(calls)
        samples.append(numpy(layer.matrices[0]))
    np.testing.assert_allclose(*samples, rtol=1e-5, atol=1e-6)


def test_a_batch_of_one_is_centred_by_the_moving_mean():
    """Outputs and M are those of `z = x - moving mean`; the moving mean then takes the row in."""
    layer = Decorrelation(decorrelator())
    layer.build((None, 3))
    layer.moving_mean.assign([0.5, 1.0, 1.5])
    layer.mean_count.assign(9.0)
    moving, z = np.array([0.5, 1.0, 1.5]), np.array([[0.1, 0.2, -0.3]])
    with pytest.warns(UserWarning, match="batch of one row"):
        outputs = layer((moving + z).astype("float32"), training=True)
    np.testing.assert_allclose(numpy(outputs), z, atol=1e-6)
    eta = float(layer.decorrelator.learning_rate)
    expected = reference.norm_preserving(np.eye(3), z, z, eta)
    np.testing.assert_allclose(numpy(layer.matrices[0]), expected, atol=1e-5)
    momentum = layer.decorrelator.momentum
    share = 1.0 / (9.0 * momentum + 1.0)
    np.testing.assert_allclose(numpy(layer.moving_mean), moving + share * z[0], rtol=1e-5)
    assert int(layer.skipped_updates) == 0


@pytest.mark.parametrize(
    ("bad", "structure", "fraction"),
    [
        *((bad, "full", 1.0) for bad in (np.inf, -np.inf, 1e30)),
        *itertools.product([np.nan], ["full", "block_diagonal", "monarch"], [1.0, 0.1]),
    ],
)
def test_a_bad_batch_does_not_destroy_m(bad, structure, fraction, rng):
    layer = Decorrelation(decorrelator(structure=structure, groups=2, sample_fraction=fraction))
    good = rng.normal(size=(20, 8)).astype("float32")
    layer(good, training=True)
    before = [numpy(v).copy() for v in (*layer.matrices, layer.moving_mean)]
    spoiled = good.copy()
    spoiled[0 if bad == 1e30 else -1, 3] = bad
    layer(spoiled, training=True)
    for variable, value in zip((*layer.matrices, layer.moving_mean), before, strict=True):
        np.testing.assert_array_equal(numpy(variable), value)
    assert int(layer.skipped_updates) == 1
    layer(good, training=True)
    assert int(layer.skipped_updates) == 1
    assert not np.array_equal(numpy(layer.matrices[0]), before[0])


def test_the_sample_is_the_papers_first_tenth_plus_one(rng):
    x = rng.normal(size=(50, 4)).astype("float32")
    tenth = Decorrelation(undamped(0.1, center=False))
    tenth(x, training=True)
    six = Decorrelation(undamped(0.1, center=False, sample_fraction=1.0))
    six(x[:6], training=True)
    np.testing.assert_allclose(numpy(tenth.matrices[0]), numpy(six.matrices[0]), rtol=1e-6)


def test_the_cap_on_rows_binds(rng):
    x = rng.normal(size=(10, 30, 4)).astype("float32")
    taken = []

    class Spy(Decorrelation):
        def update(self, samples):
            taken.extend(sample.extracted().X.shape[0] for sample in samples)
            return super().update(samples)

    Spy(decorrelator(max_samples=37))(x, training=True)
    Spy(decorrelator(max_samples=None))(x, training=True)
    assert taken == [37, 300]
