"""A recurrent layer on decorrelated inputs."""

from typing import Any, Self

import keras
import numpy as np
from keras import ops

from keras_decorr import decorrelators
from keras_decorr.layers.decorrelation import Decorrelation
from keras_decorr.layers.like_its_twin import LikeItsTwin
from keras_decorr.typing import Shape, Tensor

LAYERS = (keras.layers.LSTM, keras.layers.GRU, keras.layers.SimpleRNN)


@keras.saving.register_keras_serializable(package="keras_decorr")
class DecorRNN(LikeItsTwin, keras.layers.Layer):
    """An LSTM, GRU or SimpleRNN whose inputs are decorrelated.

    The input kernels of all gates see `u = M (x - mean)`, one M for all of them and for all steps. The
    recurrent kernels are as they were: their inputs are the layer's own state.

    Args:
        layer: A `keras.layers.LSTM`, `GRU` or `SimpleRNN`.
        decorrelator: Name of a decorrelation rule, a `keras_decorr.decorrelators.Decorrelator`, or
            `None` for the recurrent layer as it is. Defaults to `"norm_preserving"`.
        **kwargs: Arguments of every Keras layer, such as `name` and `dtype`.

    Call arguments:
        inputs: Tensor `(batch, steps, n)`.
        initial_state: List of initial state tensors of the recurrent layer.
        training: Use the mean of the batch, and update M. Defaults to False.
        mask: Boolean mask `(batch, steps)`. Steps with False do not count in the statistics.

    Raises:
        ValueError: If `layer` is another one.

    Example:

    >>> import keras, numpy as np, keras_decorr
    >>> layer = keras_decorr.layers.DecorRNN(keras.layers.LSTM(5))
    >>> tuple(layer(np.ones((3, 7, 4), "float32")).shape)
    (3, 5)
    """

    twins = LAYERS

    def __init__(self, layer: Any, decorrelator: Any = "norm_preserving", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if isinstance(layer, dict):
            layer = keras.saving.deserialize_keras_object(layer)
        if type(layer) not in LAYERS:
            raise ValueError(
                "Argument `layer` of DecorRNN must be a keras.layers.LSTM, GRU or SimpleRNN. Put a "
                f"keras_decorr.layers.Decorrelation before any other. Received: {layer!r}"
            )
        self.layer = layer
        decorrelator = decorrelators.get(decorrelator)
        self.decorrelation = decorrelator and Decorrelation(
            decorrelator, name="decorrelation", dtype=self.dtype_policy, trainable=self.trainable
        )
        self.supports_masking = True

    @property
    def decorrelator(self) -> Any:
        """The layer's own `Decorrelator`, or `None`."""
        return self.decorrelation and self.decorrelation.decorrelator

    @property
    def features(self) -> int | None:
        """The number of features `n` that M decorrelates, or `None` without a decorrelator."""
        return self.decorrelation and self.decorrelation.operator.n

    def build(self, input_shape: Shape) -> None:
        if self.decorrelation is not None:
            self.decorrelation.build(input_shape)
        self.layer.build(input_shape)

    def call(
        self,
        inputs: Tensor,
        initial_state: Any = None,
        training: bool | None = None,
        mask: Tensor = None,
    ) -> Tensor:
        if self.decorrelation is not None:
            inputs = self.decorrelation(inputs, training=training, mask=mask)
        return self.layer(inputs, initial_state=initial_state, training=training, mask=mask)

    def compute_output_shape(self, inputs_shape: Shape, initial_state_shape: Any = None) -> Any:
        return self.layer.compute_output_shape(inputs_shape)

    def compute_mask(self, inputs: Tensor, mask: Tensor = None) -> Tensor:
        return self.layer.compute_mask(inputs, mask)

    # --- to and from Keras's layer: see DecorLayer ----------------------------------------------

    @classmethod
    def from_layer(cls, layer: Any, decorrelator: Any = "norm_preserving") -> Self:
        """Returns a layer around a copy of a recurrent Keras layer, not built."""
        copy = type(layer).from_config(layer.get_config())
        return cls(
            copy,
            decorrelator,
            name=layer.name,
            dtype=layer.dtype_policy,
            trainable=layer.trainable,
        )

    def load_plain(self, layer: Any) -> None:
        """Copies the weights of a built Keras layer like the one inside. This layer must be built."""
        self.layer.set_weights(layer.get_weights())

    def folded_layer(self) -> keras.layers.Layer:
        """Returns a Keras layer with the same outputs in inference, not built."""
        config = {**self.layer.get_config(), **super().get_config()}
        if self.decorrelation is not None and self.decorrelator.center:
            config["use_bias"] = True
        return type(self.layer).from_config(config)

    def folded_weights(self) -> list[np.ndarray]:
        """Returns arrays for the weights of `folded_layer()`, once that is built."""
        kernel, recurrent, *bias = self.layer.get_weights()
        if self.decorrelation is None:
            return [kernel, recurrent, *bias]
        kernel = ops.convert_to_numpy(self.decorrelation.fold(ops.convert_to_tensor(kernel)))
        if not self.decorrelator.center:
            return [kernel, recurrent, *bias]
        shift = ops.convert_to_numpy(self.decorrelation.moving_mean) @ kernel
        if getattr(
            self.layer, "reset_after", False
        ):  # a GRU's: one bias for inputs, one for the state
            shift = ops.convert_to_numpy(ops.stack([shift, ops.zeros_like(shift)]))
        return [kernel, recurrent, bias[0] - shift if bias else -shift]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "layer": keras.saving.serialize_keras_object(self.layer),
            "decorrelator": decorrelators.serialize(self.decorrelator),
        }
