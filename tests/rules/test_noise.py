"""The noise of node perturbation."""

import numpy as np
from keras import ops

from keras_decorr.rules.noise import Noise, NoiseState
from tests.rules.nets import (
    numpy,
)


def test_no_layer_sample_or_step_shares_its_noise():
    a, drawn = ops.zeros((50, 40)), []
    for step in ([7, 0], [7, 1], [9, 0]):
        state = NoiseState(step[0])
        for sample in range(3):
            noise = Noise(state, ops.convert_to_tensor(step, "int32"), sample)
            drawn += [numpy(noise.of(call, a)).ravel() for call in range(3)]
            assert noise.of(1, a) is noise.drawn[1]
    overlap = np.corrcoef(drawn) - np.eye(len(drawn))
    assert np.abs(overlap).max() < 0.12  # 351 correlations of 2000 pairs: 5 standard deviations
    np.testing.assert_allclose(np.mean(drawn, 1), 0.0, atol=0.1)
    np.testing.assert_allclose(np.std(drawn, 1), 1.0, atol=0.08)
