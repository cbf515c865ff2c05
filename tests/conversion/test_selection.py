"""Which layers are converted."""

import keras
import pytest
from keras import layers

from keras_decorr.decorrelators import DecorrelatedBackprop
from tests.conversion.nets import decorrelate
from tests.helpers import undamped


@pytest.fixture
def model():
    inner = keras.Sequential(
        [keras.Input((4,)), layers.Dense(4, name="dense_a"), layers.Dense(4, name="dense_b")],
        name="inner",
    )
    i = keras.Input((5, 4))
    x = layers.Conv1D(4, 5, name="conv")(i)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(3, name="head")(inner(x))
    return keras.Model(i, x)


def converted(model, **arguments):
    return [row.path for row in decorrelate(model, **arguments).conversion_report.converted]


ALL = ["conv", "inner/dense_a", "inner/dense_b", "head"]


@pytest.mark.parametrize(
    "layers, expected",
    [
        (None, ALL),
        ("head", ["head"]),
        ("dense_a", ["inner/dense_a"]),
        ("inner/dense_b", ["inner/dense_b"]),
        ("inner", ["inner/dense_a", "inner/dense_b"]),
        ("dense_*", ["inner/dense_a", "inner/dense_b"]),
        ("inner/*", ["inner/dense_a", "inner/dense_b"]),
        ("*d", ["head"]),
        (["conv", "*_a"], ["conv", "inner/dense_a"]),
        (layers.Conv1D, ["conv"]),
        (layers.Dense, ["inner/dense_a", "inner/dense_b", "head"]),
        (keras.Sequential, ["inner/dense_a", "inner/dense_b"]),
        ([layers.Conv1D, "head", "flatten"], ["conv", "head"]),
    ],
)
def test_layers_by_name_pattern_and_type(model, layers, expected):
    assert converted(model, layers=layers) == expected
    left = [path for path in ALL if path not in expected]
    if left and expected != ALL and layers is not None:
        assert converted(model, exclude=layers) == left


def test_layers_by_instance(model):
    assert converted(model, layers=model.get_layer("conv")) == ["conv"]
    a = model.get_layer("inner").get_layer("dense_a")
    assert converted(model, layers=[model.get_layer("inner")], exclude=a) == ["inner/dense_b"]
    report = decorrelate(model, layers=layers.Dense, exclude=[a]).conversion_report
    reasons = {row.path: row.reason for row in report.left}
    assert reasons == {"conv": "not among `layers`", "inner/dense_a": "excluded"}


@pytest.mark.parametrize("argument", ["layers", "exclude"])
def test_a_selector_that_matches_nothing(model, argument):
    with pytest.raises(
        ValueError, match=rf"`{argument}`.*to it: \['dense_b', 'dense_a'.*'dense_x'"
    ):
        decorrelate(model, **{argument: ["head", "dense_x"]})
    with pytest.raises(ValueError, match=r"The layers are \['conv'.*Received: 'zzzzzz'"):
        decorrelate(model, **{argument: "zzzzzz"})
    with pytest.raises(ValueError, match=r"types \['Conv1D', 'Dense'.*Conv2D"):
        decorrelate(model, **{argument: layers.Conv2D})
    with pytest.raises(ValueError, match="names no layer"):
        decorrelate(model, **{argument: layers.Dense(3)})
    with pytest.raises(TypeError, match=r"layer types.*Received: 3"):
        decorrelate(model, **{argument: [3]})


def test_wide_layers_get_another_structure(model):
    report = decorrelate(
        model, undamped(structure="full"), max_features=4, above="block_diagonal"
    ).conversion_report
    rows = {row.path: (row.structure, row.features) for row in report.rows}
    assert rows["conv"] == ("block_diagonal", 20)
    assert rows["head"] == ("full", 4)


def test_wide_layers_are_left_plain(model):
    report = decorrelate(model, max_features=19, above=None).conversion_report
    assert [row.path for row in report.left] == ["conv"]
    assert report.left[0].reason == "20 features, more than max_features=19"


def test_wide_layers_by_type():
    i = keras.Input((8, 8, 4))
    x = layers.Conv2D(4, 3, groups=2, name="groups")(i)  # 18 a group
    x = layers.DepthwiseConv2D(3, name="depthwise")(x)  # 9 a channel
    x = layers.SeparableConv2D(4, 3, name="separable")(x)  # 9 a channel
    x = layers.Conv2DTranspose(4, 3, name="transpose")(x)  # 4
    x = layers.Reshape((16, 4))(x)
    x = layers.EinsumDense("abc,cd->abd", (None, 5), name="einsum")(x)
    x = layers.MultiHeadAttention(2, 7, name="attention")(x, x)  # 14 in the output projection
    x = layers.TimeDistributed(layers.Dense(4), name="steps")(x)  # 5
    x = layers.LSTM(4, name="recurrent")(x)  # 4
    model = keras.Model(i, x)
    expected = {
        "groups": 18,
        "attention": 14,
        "depthwise": 9,
        "separable": 9,
        "steps": 5,
    }
    report = decorrelate(model, max_features=4, above=None).conversion_report
    found = {row.path: int(row.reason.split()[0]) for row in report.left}
    assert found == expected
    channel = undamped(rows="pixels")
    report = decorrelate(model, channel, exclude="depthwise", max_features=4, above=None)
    assert "groups" in {row.path for row in report.conversion_report.converted}


def test_every_layer_gets_the_rule_it_is_given(model):
    new = decorrelate(model, DecorrelatedBackprop(learning_rate=3e-4))
    parts = new.decorrelation_layers
    assert len(parts) == 4
    assert {type(part.decorrelator) for part in parts} == {DecorrelatedBackprop}
    assert len({id(part.decorrelator) for part in parts}) == 4
    assert float(new.decorrelation_rate) == pytest.approx(3e-4)
