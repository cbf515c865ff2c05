"""The recurrent layer of version 0.1.0."""

from typing import Any

import keras

from keras_decorr.layers.twin import TWINS
from keras_decorr.typing import Shape, Tensor


@keras.saving.register_keras_serializable(package="keras_decorr")
class DecorRNN(keras.layers.Wrapper):
    """A recurrent layer, made decorrelating. Kept for code and files of version 0.1.0.

    Use `DecorLSTM`, `DecorGRU` or `DecorSimpleRNN`.

    Args:
        layer: A `keras.layers.LSTM`, `GRU` or `SimpleRNN`.
        decorrelator: Name of a decorrelation rule, a `keras_decorr.decorrelators.Decorrelator`, or
            `None`. Defaults to `"norm_preserving"`.
        **kwargs: Arguments of every Keras layer, such as `name` and `dtype`.

    Raises:
        ValueError: If `layer` is another one.

    Example:

    >>> import keras, numpy as np, keras_decorr
    >>> layer = keras_decorr.layers.DecorRNN(keras.layers.LSTM(5))
    >>> tuple(layer(np.ones((3, 7, 4), "float32")).shape)
    (3, 5)
    """

    def __init__(self, layer: Any, decorrelator: Any = "norm_preserving", **kwargs: Any) -> None:
        kinds = (keras.layers.LSTM, keras.layers.GRU, keras.layers.SimpleRNN)
        if type(layer) in kinds:
            twin = TWINS[type(layer)]
            layer = twin.from_config({**layer.get_config(), "decorrelator": decorrelator})
        elif not isinstance(layer, tuple(TWINS[kind] for kind in kinds)):
            raise ValueError(
                "Argument `layer` of DecorRNN must be a keras.layers.LSTM, GRU or SimpleRNN. Put a "
                f"keras_decorr.layers.Decorrelation before any other. Received: {layer!r}"
            )
        super().__init__(layer, **kwargs)
        self.supports_masking = True

    @property
    def decorrelation(self) -> Any:
        """The `Decorrelation` of the layer inside, where a file of version 0.1.0 has it, or `None`."""
        return self.layer.decorrelation

    def call(
        self,
        inputs: Tensor,
        initial_state: Any = None,
        training: bool | None = None,
        mask: Tensor = None,
    ) -> Tensor:
        return self.layer(inputs, initial_state=initial_state, training=training, mask=mask)

    def compute_output_shape(self, inputs_shape: Shape, initial_state_shape: Any = None) -> Any:
        return self.layer.compute_output_shape(inputs_shape)

    def compute_mask(self, inputs: Tensor, mask: Tensor = None) -> Tensor:
        return self.layer.compute_mask(inputs, mask)
