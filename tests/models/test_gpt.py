"""The language model."""

import keras
import numpy as np
import pytest

import keras_decorr
from keras_decorr.models import gpt
from keras_decorr.training import decorrelation_layers
from tests.helpers import few_of

CONTEXT, TOKENS = 6, 11
SMALL = {"width": 12, "depth": 2, "heads": 3}


def count(w=12, depth=2, mlp_ratio=4):
    """Weights without those of the head."""
    attention = 4 * (w * w + w)
    mlp = 2 * mlp_ratio * w * w + mlp_ratio * w + w
    return TOKENS * w + CONTEXT * w + depth * (attention + mlp + 2 * 2 * w) + 2 * w


def test_its_weights_counted_by_hand():
    assert gpt(CONTEXT, TOKENS, None, **SMALL).count_params() == count() + 12 * TOKENS + TOKENS
    tied = gpt(CONTEXT, TOKENS, None, mlp_ratio=2, tied=True, **SMALL)
    assert tied.count_params() == count(mlp_ratio=2)
    assert tied.output_shape == (None, CONTEXT, TOKENS)
    assert {type(layer).__module__.split(".")[0] for layer in tied.layers} == {
        "keras",
        "keras_decorr",  # the positions
    }


def test_tied_logits_are_products_with_the_embedding(rng):
    model = gpt(CONTEXT, TOKENS, None, tied=True, **SMALL)
    x = rng.integers(0, TOKENS, (2, CONTEXT))
    last = keras.Model(model.inputs, model.layers[-1].output)  # the embedding is among the first
    (embedding,) = (layer for layer in model.layers if isinstance(layer, keras.layers.Embedding))
    matrix = keras.ops.convert_to_numpy(embedding.embeddings)
    expected = last.predict(x, verbose=0) @ matrix.T
    np.testing.assert_allclose(model.predict(x, verbose=0), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("decorrelator", [None, "norm_preserving"])
def test_no_output_depends_on_a_later_token(decorrelator, rng):
    model = gpt(CONTEXT, TOKENS, decorrelator, **SMALL)
    x = rng.integers(0, TOKENS, (4, CONTEXT))
    other = x.copy()
    other[:, 3:] = (x[:, 3:] + 1 + rng.integers(0, TOKENS - 1, (4, CONTEXT - 3))) % TOKENS
    a, b = model.predict(x, verbose=0), model.predict(other, verbose=0)
    np.testing.assert_allclose(a[:, :3], b[:, :3], rtol=1e-5, atol=1e-6)
    assert (np.abs(a[:, 3:] - b[:, 3:]).max((0, 2)) > 1e-3).all()


def test_all_but_the_logits_are_decorrelated():
    for tied in (False, True):
        model = gpt(CONTEXT, TOKENS, tied=tied, **SMALL)
        assert isinstance(model, keras_decorr.Model)
        assert len(decorrelation_layers(model)) == 2 * (4 + 2)
    assert type(gpt(CONTEXT, TOKENS, **SMALL).layers[-1]) is keras.layers.Dense


@pytest.mark.parametrize("tied", few_of((False, True), lambda tied: tied))
def test_it_learns_and_is_saved(tied, rng, tmp_path):
    """It learns that each token repeats the one before."""
    model = gpt(CONTEXT, TOKENS, tied=tied, width=12, depth=1, heads=3)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-2), loss)
    x = np.repeat(rng.integers(0, TOKENS, (64, 1)), CONTEXT, 1)
    losses = model.fit(x, x, batch_size=32, epochs=10, verbose=0).history["loss"]
    assert abs(losses[0] - np.log(TOKENS)) < 0.5
    assert losses[-1] < 0.5 * losses[0]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.count_params() == model.count_params()
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))


def test_heads_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"`heads`.*heads=5, width=96"):
        gpt(CONTEXT, TOKENS, heads=5)
