"""A decorrelating layer at every step of a sequence."""

import math

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_decorr")
class DecorTimeDistributed(keras.layers.Layer):
    """`keras.layers.TimeDistributed` of a decorrelating layer, with one M for all steps.

    The steps are run as samples of one batch, so that M sees them together; Keras runs them one by
    one.

    Args:
        layer: A decorrelating layer, such as `DecorDense` or `DecorConv2D`.
        **kwargs: Arguments of every Keras layer, such as `name` and `dtype`.

    Call arguments:
        inputs: Tensor `(batch, steps, ...)`.
        training: Use the mean of the batch, and move M. Defaults to False.
        mask: Boolean mask `(batch, steps)`. Masked steps do not count in the statistics of a dense
            layer.

    Example:

    >>> import numpy as np, keras_decorr
    >>> from keras_decorr.conversion import DecorTimeDistributed
    >>> layer = DecorTimeDistributed(keras_decorr.layers.DecorDense(5))
    >>> tuple(layer(np.ones((3, 7, 4), "float32")).shape)
    (3, 7, 5)
    """

    def __init__(self, layer, **kwargs):
        super().__init__(**kwargs)
        if isinstance(layer, dict):
            layer = keras.saving.deserialize_keras_object(layer)
        self.layer = layer
        self.supports_masking = True

    @property
    def decorrelator(self):
        """The `Decorrelator` of the layer inside, or `None`."""
        return self.layer.decorrelator

    @property
    def features(self):
        """The number of features of the layer inside."""
        return self.layer.features

    def build(self, input_shape):
        if not self.layer.built:  # one that was loaded is
            self.layer.build(_of_a_step(input_shape))

    def call(self, inputs, training=None, mask=None):
        shape = ops.shape(inputs)
        flat = ops.reshape(inputs, (-1, *shape[2:]))
        arguments = {"training": training}
        if mask is not None and len(flat.shape) == 2:
            arguments["mask"] = ops.reshape(mask, (-1,))
        outputs = self.layer(flat, **arguments)
        return ops.reshape(outputs, (-1, shape[1], *ops.shape(outputs)[1:]))

    def compute_output_shape(self, input_shape):
        batch, *rest = self.layer.compute_output_shape(_of_a_step(input_shape))
        return (batch, input_shape[1], *rest)

    # --- to and from the twin: see DecorLayer -------------------------------------------------

    @classmethod
    def around(cls, layer, inner):
        """A layer like a Keras `TimeDistributed`, with a decorrelating layer inside."""
        return cls(inner, name=layer.name, dtype=layer.dtype_policy, trainable=layer.trainable)

    def load_plain(self, layer):
        """Take the weights of a built Keras layer like this one. This layer must be built."""
        self.layer.load_plain(layer.layer)

    def folded_layer(self):
        """A Keras layer that does in inference what this one does. It is not built yet."""
        config = super().get_config()
        return keras.layers.TimeDistributed(self.layer.folded_layer(), **config)

    def folded_weights(self):
        """Arrays for the weights of `folded_layer()`, once that is built."""
        return self.layer.folded_weights()

    def get_config(self):
        return {
            **super().get_config(),
            "layer": keras.saving.serialize_keras_object(self.layer),
        }


def _of_a_step(shape):
    batch, steps, *rest = shape
    known = batch is not None and steps is not None
    return (math.prod((batch, steps)) if known else None, *rest)
