"""Learning rules by name, and what they plug into."""

import keras
import pytest

from keras_decorr import rules


def test_names_objects_and_configurations():
    rule = rules.get("backprop")
    assert isinstance(rule, rules.Backprop)
    assert rules.get(rule) is rule
    again = rules.get(keras.saving.serialize_keras_object(rule))
    assert isinstance(again, rules.Backprop)
    with pytest.raises(ValueError, match=r"`learning_rule`.*Received: 7"):
        rules.get(7)
