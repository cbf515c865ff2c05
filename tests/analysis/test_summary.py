"""The table of costs."""

import io

import keras
import pytest
from rich.console import Console

import keras_decorr
from keras_decorr.analysis.summary import costs, summary
from keras_decorr.layers import DecorConv2D, DecorDense
from tests.helpers import undamped


def net():
    decorrelator = undamped(structure="full", max_samples=None)
    return keras_decorr.Sequential(
        [
            keras.Input((6, 6, 3)),
            DecorConv2D(4, 3, decorrelator=decorrelator, name="conv"),
            keras.layers.Flatten(),
            DecorDense(10, decorrelator=decorrelator, name="dense"),
        ],
        name="net",
    )


def test_rows_counted_by_hand():
    conv, dense = costs(net(), batch_size=8)
    assert (conv.name, conv.features, conv.structure) == ("conv", 27, "full")
    assert conv.weights == 27**2 + 27 + 4  # M, the mean, and a rate and three counters
    assert conv.size == 4 * conv.weights
    assert conv.plain_inference == 16 * 27 * 4
    assert conv.inference == 4 * 27**2 // 8  # folded once a batch
    k = 16  # one image of 8
    assert conv.step == 2 * 4 * 27**2 + k * 27**2 + 2 * k * 27**2 + k * 27 * k
    assert (dense.name, dense.features) == ("dense", 64)
    assert dense.plain_step == 3 * 8 * 64 * 10
    assert dense.inference == 64**2  # applied: 8 rows, fewer than the 10 units


def test_the_table_names_every_layer_and_the_total():
    out = io.StringIO()
    model = net()
    summary(model, batch_size=8, console=Console(file=out, width=80))
    text = out.getvalue()
    rows = costs(model, 8)
    for row in rows:
        assert row.name in text
        assert str(row.weights) in text or f"{row.weights / 1e3:.3g} k" in text
    assert f"{sum(row.weights for row in rows) / 1e3:.3g} k" in text
    plain = 27 * 4 + 4 + 64 * 10 + 10
    assert f"has {plain} weights" in text


def test_the_legend_is_whole_where_the_table_is_wide():
    out = io.StringIO()
    model = keras_decorr.models.dense_net((8, 8, 1), 10, hidden=(1000,) * 4)
    summary(model, console=Console(file=out, width=80))
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    text = " ".join(out.getvalue().split())
    assert "inference: a sample's share of those of a batch of 256, before `fold`. +x%:" in text
    assert "weights; decorrelation adds " in text and text.endswith("%.")


def test_the_percentages_are_those_of_the_layers_with_m():
    out = io.StringIO()
    layers = [keras.Input((8,)), keras.layers.Dense(500), keras.layers.Dense(8), DecorDense(2)]
    model = keras_decorr.Sequential(layers)
    summary(model, console=Console(file=out, width=100))
    (row,) = costs(model)
    text = " ".join(out.getvalue().split())
    assert f"+{100 * row.step / row.plain_step:.0f}%" in text.split(" total ")[1]
    assert "layers without M are not counted. The whole plain model has 8,526 weights" in text


def test_nested_attention_is_counted(rng):
    inputs = keras.Input((5, 8))
    x = keras_decorr.layers.DecorMultiHeadAttention(2, 4, name="attention")(inputs, inputs)
    names = [row.name for row in costs(keras.Model(inputs, x))]
    parts = ("attention_output", "key", "query", "value")
    assert sorted(names) == [f"attention/{part}" for part in parts]


def test_models_without_a_cost_are_refused():
    with pytest.raises(ValueError, match=r"`model` has no decorrelating layer.*Received: 'plain'"):
        summary(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)], name="plain"))
    with pytest.raises(ValueError, match=r"`model` must be a built Keras model"):
        summary(keras.Sequential([DecorDense(2)]))
