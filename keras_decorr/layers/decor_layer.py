"""What every layer with a linear map behind a decorrelation has in common."""

import keras
from keras import ops

from keras_decorr import decorrelators
from keras_decorr.layers import wiring
from keras_decorr.layers.decorrelation import Decorrelation


class DecorLayer(keras.layers.Layer):
    """Holds a Keras layer and the `Decorrelation` of its inputs.

    The Keras layer is held, not subclassed: it keeps its own weights, so that saving, LoRA and the
    like are Keras's own. A subclass defines `build` and `call`.

    Args:
        layer: The Keras layer with the linear map.
        decorrelator: As in `Decorrelation`. With `None` this layer is the Keras layer.
        **kwargs: Arguments of every Keras layer.
    """

    def __init__(self, layer, decorrelator, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True
        self.layer = layer
        decorrelator = decorrelators.get(decorrelator)
        self.decorrelation = decorrelator and Decorrelation(
            decorrelator, name="decorrelation", dtype=self.dtype_policy, trainable=self.trainable
        )

    @property
    def decorrelator(self):
        """The layer's own `Decorrelator`, or `None`. Set its `learning_rate` at any time."""
        return self.decorrelation and self.decorrelation.decorrelator

    @property
    def kernel(self):
        """The kernel that acts on the decorrelated inputs."""
        return self.layer.kernel

    @property
    def bias(self):
        """The bias, or `None`."""
        return self.layer.bias

    def linear_map(self, op, inputs, mean=None, folded=False):
        """`y = activation(op(inputs, K) + b)`, with what the wiring in force makes of it.

        Args:
            op: A function of inputs and kernel, linear in both.
            inputs: Inputs, decorrelated unless `folded`.
            mean: `(n,)` mean of raw inputs that are not centred, or `None`.
            folded: Fold M into the kernel: the inputs are raw.
        """
        wires = wiring.current()

        def fold(kernel):
            return self.decorrelation.fold(kernel) if folded else kernel

        def flat(kernel):
            return ops.reshape(fold(kernel), (-1, kernel.shape[-1]))

        kernel = ops.convert_to_tensor(self.kernel)
        effective = fold(kernel)
        a = wires.linear(self, op, inputs, effective, fold)
        bias = self.bias
        if mean is not None:  # b_eff = b - mean K_eff
            rows, columns = ops.cast(mean, kernel.dtype)[None], kernel.shape[-1]
            shift = wires.linear(
                self, ops.matmul, rows, ops.reshape(effective, (-1, columns)), flat
            )
            shift = ops.reshape(shift, (columns,))
            bias = -shift if bias is None else bias - shift
        if bias is not None:
            if getattr(self.layer, "data_format", None) == "channels_first":
                bias = ops.reshape(bias, (-1, *[1] * (len(a.shape) - 2)))
            a = ops.add(a, bias)  # not `+`: Keras makes of this what TensorFlow fuses into the map
        a = wires.pre_activation(self, a)
        y = a if self.layer.activation is None else self.layer.activation(a)
        wires.output(self, a, y)
        return y

    def compute_output_shape(self, input_shape):
        return self.layer.compute_output_shape(input_shape)

    def get_config(self):
        return {
            **self.layer.get_config(),
            **super().get_config(),
            "activity_regularizer": keras.regularizers.serialize(self.activity_regularizer),
            "decorrelator": decorrelators.serialize(self.decorrelator),
        }
