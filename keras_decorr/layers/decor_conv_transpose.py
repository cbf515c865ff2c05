"""The base class of the decorrelating transposed convolutions."""

from collections.abc import Sequence

from keras import ops

from keras_decorr.decorrelators import Decorrelator
from keras_decorr.decorrelators.cost import Work
from keras_decorr.layers.decor_conv import DecorConv
from keras_decorr.layers.decorrelation import Decorrelation
from keras_decorr.typing import Tensor


class DecorConvTranspose(DecorConv):
    """A transposed convolution, whose rows are the pixels of the inputs."""

    pixelwise = True

    def _new_decorrelation(self, rule: Decorrelator) -> Decorrelation:
        rule.center = False
        return super()._new_decorrelation(rule)

    def parts_of(self, channels: int) -> int:
        return 1

    def _work(self, sizes: Sequence) -> Work:
        rows = 1
        for size in sizes:
            rows *= size or 1
        return Work(rows, self.taps * self.filters, folds=True, pixels=True)

    def op(self, x: Tensor, K: Tensor) -> Tensor:
        layer = self
        return ops.conv_transpose(
            x,
            K,
            strides=list(layer.strides),
            padding=layer.padding,
            output_padding=layer.output_padding,
            data_format=layer.data_format,
            dilation_rate=layer.dilation_rate,
        )

    # The kernel is (*kernel_size, filters, channels).

    def matrix(self, K: Tensor) -> Tensor:
        return ops.transpose(ops.reshape(K, (-1, self.channels)))

    def of_matrix(self, K: Tensor) -> Tensor:
        return ops.reshape(ops.transpose(K), self.kernel.shape)
