"""Attention with decorrelated projections against Keras's."""

import keras
import numpy as np
import pytest

import keras_decorr
from keras_decorr.backend.keras_internals import attention_projections
from keras_decorr.layers import DecorEinsumDense, DecorGroupQueryAttention, DecorMultiHeadAttention
from tests.helpers import EAGERLY, perturb, undamped, whole_batches
from tests.layers.twins import copy_of, folded, numpy

KINDS = {
    "multi-head": (
        DecorMultiHeadAttention,
        keras.layers.MultiHeadAttention,
        {"num_heads": 2, "key_dim": 3, "value_dim": 3},
    ),
    "grouped": (
        DecorGroupQueryAttention,
        keras.layers.GroupQueryAttention,
        {"head_dim": 4, "num_query_heads": 4, "num_key_value_heads": 2},
    ),
}


@pytest.fixture(params=sorted(KINDS))
def kind(request):
    return KINDS[request.param]


@pytest.fixture
def inputs(rng):
    return [(rng.normal(size=(3, t, 8)) + 0.2).astype("float32") for t in (5, 7)]


def pair(kind, decorrelator, inputs, **arguments):
    ours, theirs, own = kind
    plain = theirs(**own, **arguments)
    plain.build(*(x.shape for x in inputs))
    layer = copy_of(plain, *(x.shape for x in inputs))
    ours.attach(layer, decorrelator)
    return plain, layer


@pytest.mark.parametrize("use_bias", [True, False])
def test_identity_equals_keras(kind, inputs, use_bias):
    for decorrelator in (None, undamped(center=False)):
        plain, layer = pair(kind, decorrelator, inputs, use_bias=use_bias)
        np.testing.assert_allclose(
            numpy(layer(*inputs)), numpy(plain(*inputs)), rtol=1e-5, atol=1e-6
        )


def test_the_same_seed_gives_the_weights_of_keras(kind, inputs):
    ours, theirs, own = kind
    built = []
    for cls in (ours, theirs):
        keras.utils.set_random_seed(5)
        layer = cls(**own)
        layer.build(*(x.shape for x in inputs))
        built.append([numpy(w) for w in layer.trainable_weights])
    for a, b in zip(*built, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("use_bias", [True, False])
def test_folding_gives_keras_attention(kind, inputs, use_bias, rng):
    _, layer = pair(kind, undamped(1e-2, structure="full"), inputs, use_bias=use_bias)
    layer(*inputs, training=True)
    parts = [p for p in layer._flatten_layers() if isinstance(p, DecorEinsumDense)]
    assert len(parts) == 4
    for part in parts:
        assert int(part.decorrelation.steps) == 1
        perturb(part.decorrelation, rng)
        part.decorrelation.moving_mean.assign(rng.normal(size=part.features))
    expected, shapes = numpy(layer(*inputs)), [x.shape for x in inputs]
    plain = folded(layer, *shapes)
    assert type(plain) is kind[1]
    assert [type(p) for p in attention_projections(plain).values()] == [
        keras.layers.EinsumDense
    ] * 4
    again = copy_of(plain, *shapes)
    for new in (plain, again):
        np.testing.assert_allclose(numpy(new(*inputs)), expected, rtol=1e-4, atol=1e-5)


def test_it_trains_masks_and_reloads(kind, rng, tmp_path):
    ours, _, own = kind
    inputs = keras.Input((6,), dtype="int32")
    x = keras.layers.Embedding(10, 8, mask_zero=True)(inputs)
    x = ours(**own, decorrelator=undamped(1e-2))(x, x, use_causal_mask=True)
    model = keras_decorr.Model(inputs, keras.layers.GlobalAveragePooling1D()(x))
    way = {} if ours is DecorMultiHeadAttention else EAGERLY  # one of them is compiled
    model.compile("adam", "mse", **way)
    tokens = rng.integers(0, 10, (whole_batches(20, 8), 6))
    logs = model.fit(tokens, np.zeros((len(tokens), 8)), batch_size=8, verbose=0).history
    assert np.isfinite(logs["loss"][0]) and logs["decorrelation_loss"][0] > 0
    assert [int(layer.steps) for layer in model.decorrelation_layers] == [3] * 4
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(numpy(loaded(tokens)), numpy(model(tokens)))
