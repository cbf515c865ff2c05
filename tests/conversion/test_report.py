"""The report of a conversion."""

import keras
import pytest
from keras import layers

from keras_decorr.conversion.report import ConversionReport, Row, features_of, structure_of
from keras_decorr.layers import DecorDense, DecorSeparableConv1D
from tests.conversion.nets import decorrelate
from tests.helpers import undamped

ROWS = [
    Row("a", "Dense", True, "DecorDense", "full", 6),
    Row("b", "Embedding", False, reason="a lookup"),
]


def test_rows_are_listed_and_printed():
    report = ConversionReport(iter(ROWS))
    assert (report.converted, report.left) == ([ROWS[0]], [ROWS[1]])
    text = str(report)
    assert "1 of 2 layers converted" in text
    assert all(word in text for word in ("DecorDense", "full", "a lookup"))
    assert repr(report) == "<ConversionReport: 1 of 2 layers converted>"


def test_it_is_attached_past_the_tracking_of_keras():
    model = keras.Sequential([keras.Input((6,)), layers.Dense(4, name="a")])
    new = decorrelate(model, undamped(structure="full"))
    assert new.conversion_report.rows == ROWS[:1]
    assert len(new.layers) == 1


def test_structure_and_features_of_a_layer():
    dense = DecorDense(3, decorrelator=undamped(structure="full"))
    dense.build((None, 5))
    assert (structure_of(dense), features_of(dense)) == ("full", 5)
    several = DecorSeparableConv1D(4, 3, decorrelator=undamped(structure="full"))
    several.build((None, 8, 5))
    assert features_of(several) == max(
        part.operator.n for part in several._flatten_layers() if hasattr(part, "operator")
    )
    plain = layers.Dense(3)
    assert (structure_of(plain), features_of(plain)) == (None, None)


@pytest.mark.parametrize(
    ("layer", "shape", "expected", "of_pixels"),
    [
        (layers.Dense(3), (7,), 7, 7),
        (layers.Conv2D(3, (3, 2)), (8, 8, 5), 30, 5),
        (layers.Conv2D(4, 3, groups=2), (8, 8, 6), 27, 3),
        (layers.Conv1DTranspose(3, 4), (8, 5), 5, 5),
        (layers.DepthwiseConv2D((3, 2)), (8, 8, 5), 6, None),
        (layers.SeparableConv1D(4, 3, depth_multiplier=2), (8, 5), 10, 10),
        (layers.SeparableConv1D(4, 9), (12, 5), 9, 5),
        (layers.EinsumDense("abcd,cde->abe", (None, 2)), (3, 4, 5), 20, 20),
        (layers.LSTM(3), (6, 7), 7, 7),
        (layers.TimeDistributed(layers.Dense(3)), (6, 7), 7, 7),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, layers.Layer) else "",
)
def test_the_limit_is_on_the_features_of_one_part_or_channel(layer, shape, expected, of_pixels):
    model = keras.Sequential([keras.Input(shape), layer])
    for rows, features in (("patches", expected), ("pixels", of_pixels)):
        rule = undamped(structure="full", rows=rows)
        if features is None:
            with pytest.raises(ValueError, match="single channel"):
                decorrelate(model, rule)
            continue
        assert decorrelate(model, rule, max_features=features, above=None)
        with pytest.raises(ValueError, match=f"{features} features, more than max_features"):
            decorrelate(model, rule, max_features=features - 1, above=None)
