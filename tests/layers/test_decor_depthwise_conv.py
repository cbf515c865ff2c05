"""What the depthwise convolutions share: every channel has an M of its own."""

import numpy as np
import pytest

from keras_decorr import layers
from tests.helpers import undamped
from tests.layers.twins import numpy


@pytest.mark.parametrize("cls", [layers.DecorDepthwiseConv1D, layers.DecorDepthwiseConv2D])
def test_a_depthwise_convolution_has_no_channels_to_decorrelate(cls):
    layer = cls(3, decorrelator=undamped(rows="pixels"))
    rank = 3 if cls is layers.DecorDepthwiseConv1D else 4
    with pytest.raises(ValueError, match=r"rows='pixels'.*decorrelator=None"):
        layer.build((None, *[8] * (rank - 2), 4))


def test_m_of_a_channel_depends_on_that_channel_alone(rng):
    x = rng.normal(size=(4, 9, 3)).astype("float32")
    other = x.copy()
    other[..., 1] = rng.normal(size=(4, 9))
    found = []
    for inputs in (x, other):
        decorrelator = undamped(0.1, preserve="nothing", sample_fraction=1.0)
        layer = layers.DecorDepthwiseConv1D(3, decorrelator=decorrelator)
        layer(inputs, training=True)
        found.append(numpy(layer.decorrelation.matrices[0]))
    np.testing.assert_allclose(found[0][[0, 2]], found[1][[0, 2]], rtol=1e-5, atol=1e-6)
    assert np.abs(found[0][1] - found[1][1]).max() > 1e-3
