"""Embeds the positions of the tokens of a transformer."""

from typing import Any

import keras

from keras_decorr.typing import Shape, Tensor


@keras.saving.register_keras_serializable(package="keras_decorr")
class PositionEmbedding(keras.layers.Layer):
    """Adds a learned vector to each token.

    Args:
        initializer: Initializer of the vectors. Default: normal with a deviation of 0.02.
        **kwargs: Arguments of every Keras layer.

    Input shape:
        `(batch, tokens, features)` with known `tokens` and `features`.

    Output shape:
        The same.
    """

    def __init__(self, initializer: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        default = keras.initializers.RandomNormal(stddev=0.02)
        self.initializer = keras.initializers.get(default if initializer is None else initializer)
        self.supports_masking = True

    def build(self, input_shape: Shape) -> None:
        self.embeddings = self.add_weight(
            name="embeddings", shape=input_shape[1:], initializer=self.initializer
        )

    def call(self, inputs: Tensor) -> Tensor:
        return inputs + self.embeddings

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "initializer": keras.initializers.serialize(self.initializer),
        }
