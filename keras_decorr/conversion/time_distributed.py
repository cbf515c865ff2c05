"""A decorrelating layer at every step of a sequence."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_decorr.typing import Shape, Tensor


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

    def __init__(self, layer: keras.layers.Layer | dict[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if isinstance(layer, dict):
            layer = keras.saving.deserialize_keras_object(layer)
        self.layer = layer
        self.supports_masking = True

    @property
    def decorrelator(self) -> Any:
        """The `Decorrelator` of the layer inside, or `None`."""
        return self.layer.decorrelator

    @property
    def features(self) -> int:
        """The number of features of the layer inside."""
        return int(self.layer.features)

    def build(self, input_shape: Shape) -> None:
        if not self.layer.built:  # one that was loaded is
            self.layer.build(_of_a_step(input_shape))

    def call(self, inputs: Tensor, training: bool | None = None, mask: Tensor = None) -> Tensor:
        shape = ops.shape(inputs)
        flat = ops.reshape(inputs, (-1, *shape[2:]))
        arguments = {"training": training}
        if mask is not None and len(flat.shape) == 2:
            arguments["mask"] = ops.reshape(mask, (-1,))
        outputs = self.layer(flat, **arguments)
        return ops.reshape(outputs, (-1, shape[1], *ops.shape(outputs)[1:]))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        batch, *rest = self.layer.compute_output_shape(_of_a_step(input_shape))
        return (batch, input_shape[1], *rest)

    # --- to and from the twin: see DecorLayer -------------------------------------------------

    @classmethod
    def around(cls, layer: Any, inner: Any) -> "DecorTimeDistributed":
        """A layer like a Keras `TimeDistributed`, with a decorrelating layer inside."""
        return cls(inner, name=layer.name, dtype=layer.dtype_policy, trainable=layer.trainable)

    def load_plain(self, layer: Any) -> None:
        """Take the weights of a built Keras layer like this one. This layer must be built."""
        self.layer.load_plain(layer.layer)

    def folded_layer(self) -> keras.layers.Layer:
        """A Keras layer that does in inference what this one does. It is not built yet."""
        config = super().get_config()
        return keras.layers.TimeDistributed(self.layer.folded_layer(), **config)

    def folded_weights(self) -> list[np.ndarray]:
        """Arrays for the weights of `folded_layer()`, once that is built."""
        return list(self.layer.folded_weights())

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "layer": keras.saving.serialize_keras_object(self.layer),
        }


def _of_a_step(shape: Shape) -> Shape:
    batch, steps, *rest = shape
    return (None if batch is None or steps is None else batch * steps, *rest)
