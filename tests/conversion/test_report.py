"""The report of a conversion."""

import keras
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
