"""The nets of the command line."""

import inspect

import keras
import pytest

from keras_decorr.cli.nets import NETS


@pytest.mark.parametrize("name", NETS)
def test_a_structure_without_a_rate_has_that_of_monarch(name):
    kind = NETS[name]
    assert kind.decorrelation_rate("monarch") == kind.decorrelation_rates["monarch"]
    assert kind.decorrelation_rate("auto") == kind.decorrelation_rates["monarch"]
    for structure, rate in kind.decorrelation_rates.items():
        assert kind.decorrelation_rate(structure) == rate


@pytest.mark.parametrize("name", NETS)
def test_a_width_is_an_argument_of_the_net(name):
    assert NETS[name].has_width == ("width" in inspect.signature(NETS[name].build).parameters)


@pytest.mark.parametrize("name", NETS)
def test_the_layer_of_the_logits_is_called_output(name):
    """So that Muon can leave it to AdamW."""
    shape = {"input_shape": (8, 8, 1), "classes": 3}
    if name == "gpt":
        shape = {"context": 4, "vocabulary_size": 3}
    small = {"width": 8, "depth": 1, "heads": 2} if name in ("vit", "gpt") else {}
    model = NETS[name].build(**shape, **small, decorrelator=None)
    output = model.get_layer("output")
    assert isinstance(output, keras.layers.Dense)
    assert output.units == 3
