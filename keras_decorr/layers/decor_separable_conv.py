"""The base class of the decorrelating separable convolutions."""

from typing import Any

from keras import ops

from keras_decorr import decorrelators
from keras_decorr.backend.keras_internals import add_sublayer, remove_attribute, replace_weight
from keras_decorr.decorrelators import Decorrelator
from keras_decorr.layers.twin import DecorrelatingTwin
from keras_decorr.typing import Shape, Tensor

_OF_BOTH = ("data_format", "trainable")
_OF_THE_DEPTHWISE = ("kernel_size", "strides", "padding", "dilation_rate", "depth_multiplier")
_OF_THE_POINTWISE = ("filters", "use_bias")


class DecorSeparableConv(DecorrelatingTwin):
    """Mixin for a subclass of a separable convolution of Keras, its `twin`.

    A separable convolution is a depthwise one and a pointwise one. Each is a layer inside with the
    kernel of this one, and has an M of its own.

    Args:
        *args: Those of the twin.
        decorrelator: As in `Decorrelation`. With `None` this layer is its twin.
        **kwargs: Those of the twin.
    """

    depthwise_type: Any = None
    pointwise_type: Any = None

    def __init__(self, *args: Any, decorrelator: Any = "norm_preserving", **kwargs: Any) -> None:
        super().__init__(*args, decorrelator=None, **kwargs)
        self._decorrelator = decorrelators.get(decorrelator)

    @property
    def decorrelator(self) -> Any:
        """The decorrelator that both convolutions have a copy of, or `None`."""
        return getattr(self, "_decorrelator", None)

    def added(self) -> list[Any]:
        return [] if self.decorrelator is None else [self.depthwise, self.pointwise]

    def build(self, input_shape: Shape) -> None:
        super().build(input_shape)
        if self._decorrelator is not None:
            self._make_parts(self._decorrelator, input_shape)

    def start_decorrelation(self, rule: Decorrelator, input_shape: Shape) -> None:
        self._make_parts(rule, input_shape)

    def _make_parts(self, rule: Decorrelator, input_shape: Shape) -> None:
        config = self.twin.get_config(self)
        both = {"dtype": self.dtype_policy, **{name: config[name] for name in _OF_BOTH}}
        depthwise = self.depthwise_type(
            **{name: config[name] for name in _OF_THE_DEPTHWISE},
            use_bias=False,
            # One channel a filter leaves nothing to decorrelate over channels.
            decorrelator=None if rule.rows == "pixels" else rule,
            name="depthwise",
            **both,
        )
        pointwise = self.pointwise_type(
            kernel_size=1,
            **{name: config[name] for name in _OF_THE_POINTWISE},
            activation=self.activation,
            decorrelator=rule,
            name="pointwise",
            **both,
        )
        depthwise.adopt(self.depthwise_kernel, None, input_shape)
        inner = depthwise.compute_output_shape(input_shape)
        pointwise.adopt(self.pointwise_kernel, self.bias, inner)
        self._decorrelator = rule
        add_sublayer(self, "depthwise", depthwise)
        add_sublayer(self, "pointwise", pointwise)

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        if self.decorrelator is None:
            return super().call(inputs)
        # What Keras does around a call it does around that of this layer.
        return self.pointwise.call(self.depthwise.call(inputs, training), training)

    def load_own_variables(self, store: Any) -> None:
        if len(store.keys()):  # a file of version 0.1.0 has them in the parts alone
            super().load_own_variables(store)

    @property
    def takes_mean(self) -> bool:
        return bool(self.pointwise.takes_mean)

    def merge(self) -> None:
        depthwise, shift = self.depthwise.folded_weights()
        pointwise, bias = self.pointwise.folded_weights()
        if shift is not None:  # what the depthwise one would add goes through the pointwise one
            matrix = ops.reshape(pointwise, (-1, pointwise.shape[-1]))
            shift = ops.matmul(shift[None], matrix)[0]
            bias = shift if bias is None else bias + shift
        if bias is not None:
            if self.bias is None:
                self.use_bias = True
                replace_weight(self, "bias", shape=bias.shape, initializer="zeros")
                self.pointwise.bias = self.bias
            self.bias.assign(bias)
        self.depthwise_kernel.assign(depthwise)
        self.pointwise_kernel.assign(pointwise)

    def detach(self) -> None:
        for name in ("depthwise", "pointwise", "_decorrelator"):
            if hasattr(self, name):
                remove_attribute(self, name)
        super().detach()
