"""Models of every form: branches, shared layers, nested models, state, flags, dtypes."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_decorr
from keras_decorr import fold
from keras_decorr.training.model import FunctionalModel
from tests.conversion.nets import assert_same, decorrelate, numpy, outputs, round_trip


def images(rng, *shape):
    return rng.normal(size=shape).astype("float32")


def test_branches_several_inputs_and_outputs_and_operations(rng):
    a, b = keras.Input((8, 8, 3), name="a"), keras.Input((5,), name="b")
    x = layers.Conv2D(4, 3, padding="same", name="left")(a)
    y = ops.relu(layers.Conv2D(4, 1, name="right")(a)) * 2.0
    x = layers.GlobalAveragePooling2D()(layers.Concatenate()([x, y]) - ops.mean(x))
    x = layers.Concatenate()([x, layers.Dense(3, name="side")(b)])
    model = keras.Model(
        {"a": a, "b": b}, {"one": layers.Dense(2, name="one")(x), "two": ops.sum(x, axis=-1)}
    )
    data = {"a": images(rng, 3, 8, 8, 3), "b": images(rng, 3, 5)}
    decorrelated, folded = round_trip(model, data, rng)
    assert isinstance(decorrelated, FunctionalModel) and type(folded) is type(model)
    report = decorrelated.conversion_report
    assert {row.path for row in report.converted} == {"left", "right", "side", "one"}
    for new in (decorrelated, folded):
        assert new.name == model.name
        assert {x.name for x in new.inputs} == {"a", "b"}
        assert set(new.output) == {"one", "two"}
        assert {layer.name for layer in new.layers} >= {"left", "right", "side", "one"}


def test_a_sequential_stays_one(rng):
    model = keras.Sequential([layers.Dense(4, name="a"), layers.Dense(2, name="b")], name="net")
    model.build((None, 6))
    decorrelated, folded = round_trip(model, images(rng, 3, 6), rng)
    assert type(decorrelated) is keras_decorr.Sequential and type(folded) is keras.Sequential
    assert decorrelated.name == folded.name == "net"
    assert decorrelated.input_shape == (None, 6)


def test_a_shared_layer_has_one_M(rng):
    a, b = keras.Input((6,)), keras.Input((6,))
    shared = layers.Dense(4, name="shared")
    model = keras.Model([a, b], layers.Add()([shared(a), shared(b)]))
    x = [images(rng, 5, 6), images(rng, 5, 6)]
    decorrelated, folded = round_trip(model, x, rng)
    assert len(decorrelated.decorrelation_layers) == 1
    assert len(decorrelated.conversion_report.rows) == 1
    assert len(folded.weights) == 2


def test_nested_and_shared_models(rng):
    inner = keras.Sequential(
        [keras.Input((6,)), layers.Dense(6, name="a"), layers.Dropout(0.5)], name="inner"
    )
    i = keras.Input((6,))
    middle = keras.Model(i, layers.Dense(6, name="b")(inner(inner(i))), name="middle")
    i = keras.Input((6,))
    model = keras.Model(i, layers.Add()([middle(i), inner(i)]))
    decorrelated, folded = round_trip(model, images(rng, 3, 6), rng)
    assert {row.path for row in decorrelated.conversion_report.rows} == {
        "middle/inner/a",
        "middle/b",
    }
    assert len(decorrelated.decorrelation_layers) == 2
    assert type(decorrelated.get_layer("middle")) is type(middle)
    assert decorrelated.get_layer("middle").get_layer("inner") is decorrelated.get_layer("inner")
    assert folded.get_layer("middle").get_layer("inner") is folded.get_layer("inner")


def test_one_of_our_models_with_plain_layers_is_converted_and_folds_to_keras(rng):
    i = keras.Input((6,))
    inner = keras_decorr.Sequential([keras.Input((6,)), layers.Dense(4)])
    model = keras_decorr.Model(i, layers.Dense(2)(inner(i)))
    decorrelated, folded = round_trip(model, images(rng, 3, 6), rng)
    assert type(decorrelated) is FunctionalModel
    kinds = [type(part) for part in folded._flatten_layers()]
    assert not any(kind.__module__.startswith("keras_decorr") for kind in kinds)


def test_dtype_policies_survive(rng):
    i = keras.Input((6,))
    x = layers.Dense(8, dtype="mixed_bfloat16", name="half")(i)
    model = keras.Model(i, layers.Dense(2, dtype="float32", name="whole")(x))
    for new in (decorrelate(model), fold(decorrelate(model))):
        assert new.get_layer("half").compute_dtype == "bfloat16"
        assert new.get_layer("half").variable_dtype == "float32"
        assert new.get_layer("whole").compute_dtype == "float32"
    x = images(rng, 3, 6)
    assert_same(fold(decorrelate(model)), model, x, 2e-2)


@pytest.mark.parametrize("padding", ["same", "causal"])
def test_a_mask_goes_no_further_than_before(padding, rng):
    tokens = keras.Input((6,), dtype="int32")
    x = layers.Embedding(9, 4, mask_zero=True)(tokens)
    pooled = [
        layers.GlobalAveragePooling1D()(layers.Conv1D(3, 3, padding=padding)(x)),
        layers.GlobalAveragePooling1D()(layers.Dense(3)(x)),
        layers.LSTM(3)(x),
        layers.GlobalAveragePooling1D()(layers.TimeDistributed(layers.Dense(3))(x)),
    ]
    model = keras.Model(tokens, pooled)
    round_trip(model, np.array([[1, 2, 3, 0, 0, 0], [4, 5, 6, 7, 8, 0]]), rng)


def test_a_model_trains_after_conversion_and_matches_a_model_made_by_hand(rng):
    def net(dense, **arguments):
        return [keras.Input((6,)), dense(8, activation="relu", **arguments), dense(2, **arguments)]

    x, y = images(rng, 32, 6), rng.integers(0, 2, 32)
    made = keras_decorr.Sequential(
        net(keras_decorr.layers.DecorDense, decorrelator="norm_preserving")
    )
    plain = keras.Sequential(net(layers.Dense))
    plain.set_weights([numpy(w) for w in made.trainable_weights])
    new = decorrelate(plain)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    for model in (made, new):
        model.compile(keras.optimizers.SGD(0.1), loss)
        model.fit(x, y, batch_size=8, shuffle=False, verbose=0)
    for a, b in zip(outputs(made, x), outputs(new, x), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_saving_and_loading_a_converted_model(rng, tmp_path):
    inner = keras.Sequential([keras.Input((6,)), layers.Dense(5), layers.Dense(4)])
    i = keras.Input((6,))
    model = decorrelate(keras.Model(i, layers.Dense(2)(inner(i))))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    x = images(rng, 3, 6)
    np.testing.assert_array_equal(outputs(loaded, x)[0], outputs(model, x)[0])
    assert type(loaded) is type(model) and len(loaded.decorrelation_layers) == 3
