"""What every layer with a linear map behind a decorrelation has in common."""

import keras

from keras_decorr import decorrelators
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

    def compute_output_shape(self, input_shape):
        return self.layer.compute_output_shape(input_shape)

    def get_config(self):
        return {
            **self.layer.get_config(),
            **super().get_config(),
            "activity_regularizer": keras.regularizers.serialize(self.activity_regularizer),
            "decorrelator": decorrelators.serialize(self.decorrelator),
        }
