"""What cannot be converted."""

import keras
import pytest
from keras import layers

from keras_decorr import fold
from keras_decorr.decorrelators import NormPreserving
from tests.conversion.nets import decorrelate
from tests.helpers import undamped


@pytest.fixture
def model():
    return keras.Sequential(
        [keras.Input((6,)), layers.Dense(4, name="a"), layers.Dense(2, name="b")]
    )


def test_a_decorrelating_model_is_not_decorrelated_again(model):
    new = decorrelate(model, layers="a")
    with pytest.raises(ValueError, match=r"decorrelating layers already.*keras_decorr.fold"):
        decorrelate(new)
    assert len(decorrelate(fold(new)).conversion_report.converted) == 2


def test_there_must_be_something_to_convert(model):
    none = keras.Sequential([keras.Input((4,)), layers.BatchNormalization(name="norm")])
    with pytest.raises(ValueError, match=r"(?s)nothing to convert.*norm.*each feature\s+alone"):
        decorrelate(none)
    with pytest.raises(ValueError, match=r"(?s)nothing to convert.*excluded.*exclude=\['a', 'b'\]"):
        decorrelate(model, exclude=["a", "b"])
    with pytest.raises(ValueError, match=r"no decorrelating layers.*\['a', 'b'\]"):
        fold(model)


def test_the_arguments_are_checked(model):
    with pytest.raises(ValueError, match=r"`decorrelator`.*None"):
        decorrelate(model, None)
    with pytest.raises(ValueError, match=r"`decorrelator` must be one of"):
        decorrelate(model, "no_such_rule")
    with pytest.raises(ValueError, match=r"`max_features`.*Received: 0"):
        decorrelate(model, max_features=0)
    for arguments in ({"max_features": 3}, {}):
        with pytest.raises(ValueError, match=r"`above` of decorrelate .*Received: 'diagonal'"):
            decorrelate(model, above="diagonal", **arguments)
    with pytest.raises(ValueError, match=r"`above` of decorrelate .*without.*max_features=None"):
        decorrelate(model, above=None)
    with pytest.raises(ValueError, match=r"`above` of decorrelate .*Received: 'low_rank'"):
        decorrelate(model, "zca", max_features=3, above="low_rank")


def test_a_limit_that_changes_nothing_is_refused(model):
    said = (
        r"`above` of decorrelate.*above=None.*max_features=3, above='monarch'.*structure='monarch'"
    )
    with pytest.raises(ValueError, match=said):
        decorrelate(model, undamped(structure="monarch"), max_features=3)
    assert decorrelate(model, max_features=4, above="block_diagonal").conversion_report.converted


def test_a_rule_need_not_have_the_structure_above(model):
    class Full(NormPreserving):
        structures = ("full",)

    assert len(decorrelate(model, Full(structure="full")).conversion_report.converted) == 2


def test_a_rank_above_the_features_is_an_error_with_the_layer_named(model):
    with pytest.raises(
        ValueError, match=r"(?s)layer 'b'.*`rank`.*4 here.*Received: rank=5.*`exclude`"
    ):
        decorrelate(model, undamped(structure="low_rank", rank=5))
    new = decorrelate(model, undamped(structure="low_rank", rank=5), exclude="b")
    assert [row.path for row in new.conversion_report.converted] == ["a"]


def test_a_layer_that_cannot_be_copied_is_named(model):
    class Odd(layers.Layer):
        def __init__(self, function, **kwargs):
            super().__init__(**kwargs)

        def call(self, x):
            return x

    model.add(Odd(lambda x: x, name="odd"))
    with pytest.raises(ValueError, match=r"Odd 'odd' cannot be copied.*`get_config`"):
        decorrelate(model)
