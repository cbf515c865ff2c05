"""The configuration of a search."""

import json

from keras_decorr.cli.tune.config import TuningConfig
from keras_decorr.decorrelators.decorrelator import STRUCTURE
from keras_decorr.decorrelators.structures import LowRank


def test_the_norm_that_m_keeps_is_that_of_the_options():
    config = TuningConfig(preserve="raw", gain_rate=1.0, structure=("low_rank", "full"), rank=4)
    decorrelator = config.new_decorrelator()
    assert (decorrelator.preserve, decorrelator.gain_rate) == ("raw", 1.0)
    assert decorrelator.structure == LowRank(rank=4)
    assert TuningConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert TuningConfig(decorrelator="zca").new_decorrelator().structure.name == STRUCTURE
