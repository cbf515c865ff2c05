"""The base class of the decorrelating depthwise convolutions."""

from typing import Any

from keras import ops

from keras_decorr.decorrelators import Decorrelator
from keras_decorr.layers.decor_conv import DecorConv
from keras_decorr.typing import Shape, Tensor


class DecorDepthwiseConv(DecorConv):
    """A convolution in which each channel is a part of its own."""

    @classmethod
    def reason_against(cls, layer: Any, decorrelator: Decorrelator) -> str | None:
        if decorrelator.rows == "pixels":
            return "rows='pixels': its filters see a single channel each"
        return None

    def check_inputs(self, input_shape: Shape) -> None:
        if self.pixelwise:
            raise ValueError(
                f"{type(self).__name__} cannot have a decorrelator with rows='pixels': a single "
                "channel a filter leaves nothing to decorrelate. Use rows='patches', or "
                f"`decorrelator=None`. Received: decorrelator={self.decorrelator!r}"
            )
        super().check_inputs(input_shape)

    def parts_of(self, channels: int) -> int:
        return channels

    def op(self, x: Tensor, K: Tensor) -> Tensor:
        layer = self
        return ops.depthwise_conv(
            x,
            K,
            strides=layer.strides,
            padding=layer.padding,
            dilation_rate=layer.dilation_rate,
            data_format=layer.data_format,
        )
