"""The base class of the decorrelating separable convolutions."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_decorr import decorrelators
from keras_decorr.layers.decor_layer import signature
from keras_decorr.typing import Shape, Tensor

_OF_THE_DEPTHWISE = ("kernel_size", "strides", "padding", "dilation_rate", "depth_multiplier")
_OF_THE_POINTWISE = ("filters", "activation", "use_bias")
_OF_THE_BIAS = ("bias_initializer", "bias_regularizer", "bias_constraint")
_OF_A_KERNEL = ("initializer", "regularizer", "constraint")


class DecorSeparableConv(keras.layers.Layer):
    """A depthwise convolution and a pointwise one, each on decorrelated inputs.

    A subclass names its `twin` and the two layers it consists of.

    Args:
        *args: Those of the twin.
        decorrelator: As in `Decorrelation`. With `None` this layer is its twin.
        **kwargs: Those of the twin.
    """

    twin: Any = None
    depthwise_type: Any = None
    pointwise_type: Any = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.__signature__ = signature(cls.twin)

    def __init__(self, *args: Any, decorrelator: Any = "norm_preserving", **kwargs: Any) -> None:
        # The twin only reads the arguments; it never gets weights.
        config = self.twin(*args, **kwargs).get_config()
        super().__init__(
            activity_regularizer=config["activity_regularizer"],
            **{name: config[name] for name in ("name", "trainable")},
            dtype=kwargs.get("dtype"),
        )
        self._config = config
        self._decorrelator = decorrelators.get(decorrelator)
        pixels = self._decorrelator and self._decorrelator.rows == "pixels"
        shared = {
            "data_format": config["data_format"],
            "dtype": self.dtype_policy,
            "trainable": self.trainable,
        }
        self.depthwise = self.depthwise_type(
            **{name: config[name] for name in _OF_THE_DEPTHWISE},
            **{f"depthwise_{what}": config[f"depthwise_{what}"] for what in _OF_A_KERNEL},
            use_bias=False,
            # One channel a filter leaves nothing to decorrelate over channels.
            decorrelator=None if pixels else self._decorrelator,
            name="depthwise",
            **shared,
        )
        self.pointwise = self.pointwise_type(
            kernel_size=1,
            **{name: config[name] for name in (*_OF_THE_POINTWISE, *_OF_THE_BIAS)},
            **{f"kernel_{what}": config[f"pointwise_{what}"] for what in _OF_A_KERNEL},
            decorrelator=self._decorrelator,
            name="pointwise",
            **shared,
        )

    @property
    def decorrelator(self) -> Any:
        """The decorrelator that both convolutions have a copy of, or `None`."""
        return self._decorrelator

    @property
    def features(self) -> Any:
        """The number of features of the pointwise convolution, or `None` without a decorrelator."""
        return self.pointwise.features

    def build(self, input_shape: Shape) -> None:
        self.depthwise.build(input_shape)
        self.pointwise.build(self.depthwise.compute_output_shape(input_shape))

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        return self.pointwise(self.depthwise(inputs, training=training), training=training)

    def compute_output_shape(self, input_shape: Shape) -> Any:
        return self.pointwise.compute_output_shape(self.depthwise.compute_output_shape(input_shape))

    # --- to and from the twin: see DecorLayer ---------------------------------------------------

    @classmethod
    def from_layer(cls, layer: Any, decorrelator: Any = "norm_preserving") -> Any:
        """Returns a layer with the arguments of a Keras layer, not built."""
        return cls.from_config({**layer.get_config(), "decorrelator": decorrelator})

    def load_plain(self, layer: Any) -> None:
        """Copies the weights of a built Keras layer. This layer must be built."""
        depthwise, *pointwise = layer.get_weights()
        self.depthwise.layer.set_weights([depthwise])
        self.pointwise.layer.set_weights(pointwise)

    def folded_layer(self) -> keras.layers.Layer:
        """Returns a Keras layer with the same outputs in inference, not built."""
        config = {**self._config, **super().get_config()}
        if self.pointwise.folds_a_mean:
            config["use_bias"] = True
        return self.twin.from_config(config)

    def folded_weights(self) -> list[np.ndarray]:
        """Returns arrays for the weights of `folded_layer()`, once that is built."""
        depthwise, *shift = self.depthwise.folded_weights()
        pointwise, *bias = self.pointwise.folded_weights()
        if shift:  # what the depthwise one would add goes through the pointwise one
            bias[0] = bias[0] + shift[0] @ pointwise.reshape(-1, pointwise.shape[-1])
        return [ops.convert_to_numpy(array) for array in (depthwise, pointwise, *bias)]

    def get_config(self) -> dict[str, Any]:
        return {
            **self._config,
            **super().get_config(),
            "decorrelator": decorrelators.serialize(self._decorrelator),
        }
