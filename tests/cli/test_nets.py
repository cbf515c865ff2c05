"""The nets of the command line."""

import inspect

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
