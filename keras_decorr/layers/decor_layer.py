"""The base class of layers with a linear map of decorrelated inputs."""

import inspect
from typing import Any, Self

import keras
from keras import ops

from keras_decorr import decorrelators
from keras_decorr.context import collection, wiring
from keras_decorr.layers.decorrelation import Decorrelation, as_rows
from keras_decorr.layers.like_its_twin import LikeItsTwin
from keras_decorr.maths.mapped_gradient import with_mapped_gradient
from keras_decorr.naming import to_snake_case
from keras_decorr.typing import Shape, Tensor

_OF_EVERY_LAYER = (
    "autocast",
    "input_shape",
    "input_dtype",
    "input_dim",
    "batch_shape",
    "batch_size",
)


class DecorLayer(LikeItsTwin, keras.layers.Layer):
    """Holds a Keras layer, its `twin`, and the `Decorrelation` of its inputs.

    The Keras layer is held, not subclassed: it keeps its own weights, so that saving, LoRA and the
    like are Keras's own. A subclass names its `twin` and says how the layer's kernel is a matrix:
    `y = activation(op(x, K) + b)` is a linear map of rows of `n` features, `rows . matrix(K)`.

    Args:
        *args: Those of the twin.
        decorrelator: As in `Decorrelation`. With `None` this layer is its twin.
        **kwargs: Those of the twin.
    """

    twin: Any = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.twin is not None:
            cls.__signature__ = signature(cls.twin)
            cls.twins = (cls.twin,)

    def __init__(
        self,
        *args: Any,
        decorrelator: Any = "norm_preserving",
        activity_regularizer: Any = None,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
        **kwargs: Any,
    ) -> None:
        layer = kwargs.pop("layer", None)
        own = {key: kwargs.pop(key) for key in _OF_EVERY_LAYER if key in kwargs}
        super().__init__(
            activity_regularizer=activity_regularizer,
            name=name,
            dtype=dtype,
            trainable=trainable,
            **own,
        )
        if layer is None:
            kwargs |= {"name": to_snake_case(self.twin.__name__), "dtype": dtype}
            layer = self.twin(*args, trainable=trainable, **kwargs)
        self.layer = layer
        self.supports_masking = layer.supports_masking
        decorrelator = decorrelators.get(decorrelator)
        self.decorrelation = decorrelator and Decorrelation(
            decorrelator, name="decorrelation", dtype=self.dtype_policy, trainable=self.trainable
        )

    @property
    def decorrelator(self) -> Any:
        """The layer's own `Decorrelator`, or `None`. Set its `learning_rate` at any time."""
        return self.decorrelation and self.decorrelation.decorrelator

    @property
    def acts_on_gradient(self) -> bool:
        """Whether M is applied to the gradient of the kernel, and the inputs stay as they are."""
        return self.decorrelation is not None and self.decorrelator.acts_on_gradient

    @property
    def kernel(self) -> Tensor:
        """The kernel, which acts on the decorrelated inputs."""
        return self.layer.kernel

    @property
    def bias(self) -> Tensor:
        """The bias, or `None`."""
        return self.layer.bias

    @property
    def quantized(self) -> bool:
        """Whether the kernel is quantized: then the Keras layer alone knows how to use it."""
        return getattr(self.layer, "quantization_mode", None) is not None

    # --- the kernel as a matrix ---------------------------------------------------------------

    def op(self, x: Tensor, K: Tensor) -> Tensor:
        """Computes the linear map of the layer, which is linear in `x` and in `K`."""
        raise NotImplementedError

    def matrix(self, K: Tensor) -> Tensor:
        """Returns a tensor of the shape of the kernel as a matrix `(n, columns)`."""
        raise NotImplementedError

    def of_matrix(self, K: Tensor) -> Tensor:
        """Returns a matrix `(n, columns)` in the shape of the kernel, the inverse of `matrix`."""
        raise NotImplementedError

    def shift(self, mean: Tensor, K: Tensor) -> Tensor:
        """Computes the output for a row that equals `mean` `(n,)`, in the shape of the bias."""
        return ops.reshape(ops.matmul(mean[None], self.matrix(K)), (-1,))

    def fold(self, K: Tensor) -> Tensor:
        """Computes the kernel that acts on raw inputs.

        That is `K_eff = M^T K`. Where M acts on the gradient it is `K` itself, whose gradient is then
        multiplied by `M^T M`.
        """
        if self.acts_on_gradient:
            return with_mapped_gradient(K, self.precondition)
        return self.of_matrix(self.decorrelation.fold(self.matrix(K)))

    def precondition(self, dK: Tensor) -> Tensor:
        """Computes `M^T M dK` for the gradient of the kernel, in the shape of the kernel."""
        return self.of_matrix(self.decorrelation.precondition(self.matrix(dK)))

    # --- the call -----------------------------------------------------------------------------

    def row_sum(self, x: Tensor, mask: Tensor = None) -> tuple[Tensor, Tensor]:
        """Returns a batch to go on with, and the `(n,)` float32 sum of its rows: see `with_sum`."""
        raise NotImplementedError

    def row_count(self, x: Tensor, mask: Tensor = None) -> Tensor:
        """Returns the number of rows of a batch that a mask keeps, as a float32 scalar."""
        raise NotImplementedError

    def observe(self, x: Tensor, count: Tensor, means: Any, mask: Tensor = None) -> None:
        """Passes a sample of the rows of a batch to the decorrelation."""
        raise NotImplementedError

    def call(self, inputs: Tensor, training: bool | None = None, mask: Tensor = None) -> Tensor:
        if self.quantized:
            if self.decorrelation is None or self.acts_on_gradient:
                return self.layer(inputs)
            raise ValueError(
                f"M cannot be folded into the quantized kernel of {type(self).__name__} {self.name!r}. "
                "Quantize the folded model: `keras_decorr.fold(model).quantize(...)`. "
                f"Received: quantization mode {self.layer.quantization_mode!r}"
            )
        inputs = wiring.current().inputs(self, inputs)
        if self.decorrelation is None:
            return self.linear_map(inputs)
        inputs, mask = as_rows(inputs, mask, self.compute_dtype)
        seen, mask = self.decorrelation.seen(inputs, mask)
        learns = self.decorrelation.learns(training)
        count = self.row_count(seen, mask) if learns else None
        inputs, means = self.decorrelation.centre(
            inputs, seen, lambda x: self.row_sum(x, mask), count, training
        )
        of_batch = learns and self.decorrelator.center == "batch"
        before = learns and collection.wants_samples_before_use()
        if before:
            self.observe(seen, count, means, mask)
        outputs = self.linear_map(inputs, means and means.used, folded=True, of_batch=of_batch)
        if learns and not before:  # only now, as it may change M
            self.observe(seen, count, means, mask)
        return outputs

    def linear_map(
        self, inputs: Tensor, mean: Tensor = None, folded: bool = False, of_batch: bool = False
    ) -> Tensor:
        """Computes `y = activation(op(inputs, K) + b)` through the hooks of the current wiring.

        Args:
            inputs: Inputs, decorrelated unless `folded`.
            mean: `(n,)` mean of raw inputs that are not centred, or `None`.
            folded: Fold M into the kernel: the inputs are raw.
            of_batch: Whether the mean was computed from the inputs.
        """
        wires = wiring.current()

        def fold(K: Tensor) -> Tensor:
            return self.fold(K) if folded else K

        kernel = ops.convert_to_tensor(self.kernel)
        effective = fold(kernel)
        a = wires.linear(self, self.op, inputs, effective, fold)
        bias = self.bias
        if mean is not None:  # b_eff = b - mean K_eff
            mean = ops.cast(mean, kernel.dtype)
            shift = wires.linear(self, self.shift, mean, effective, fold)
            bias = -shift if bias is None else bias - shift
        if bias is not None:
            if getattr(self.layer, "data_format", None) == "channels_first":
                bias = ops.reshape(bias, (-1, *[1] * (len(a.shape) - 2)))
            # Of `ops.add` Keras makes what TensorFlow fuses into the map. With a bias that depends on
            # the inputs its second derivative would be a graph with a cycle.
            a = a + bias if of_batch else ops.add(a, bias)
        a = wires.pre_activation(self, a)
        y = a if self.layer.activation is None else self.layer.activation(a)
        wires.output(self, a, y)
        return y

    def compute_output_shape(self, input_shape: Shape) -> Any:
        return self.layer.compute_output_shape(input_shape)

    # --- to and from the twin -----------------------------------------------------------------

    @property
    def features(self) -> Any:
        """The number of features `n` that M decorrelates, or `None` without a decorrelator."""
        return self.decorrelation and self.decorrelation.operator.n

    @classmethod
    def from_layer(cls, layer: Any, decorrelator: Any = "norm_preserving") -> Any:
        """Returns a layer with the arguments of a Keras layer, not built.

        Args:
            layer: An instance of the `twin`.
            decorrelator: As in `Decorrelation`.
        """
        config = {**layer.get_config(), "decorrelator": decorrelator}
        return cls.from_config(config)

    @classmethod
    def around(cls, layer: Any, decorrelator: Any) -> Self:
        """Returns a layer that holds the given Keras layer itself, with its weights."""
        return cls(
            layer=layer,
            decorrelator=decorrelator,
            activity_regularizer=layer.activity_regularizer,
            name=layer.name,
            dtype=layer.dtype_policy,
            trainable=layer.trainable,
        )

    def load_plain(self, layer: Any) -> None:
        """Copies the weights of a built Keras layer like the one inside. This layer must be built."""
        self.layer.set_weights(layer.get_weights())

    def folded_layer(self) -> keras.layers.Layer:
        """Returns a Keras layer with the same outputs in inference, not built."""
        config = self.layer.get_config()
        config |= {key: value for key, value in super().get_config().items() if key in config}
        config["activity_regularizer"] = keras.regularizers.serialize(self.activity_regularizer)
        if "lora_rank" in config:
            config["lora_rank"] = None  # the folded kernel has it
        return self.twin.from_config({**config, **self.folded_bias()})

    def folded_bias(self) -> dict[str, Any]:
        """Returns the changes of the twin's configuration for a bias that contains the mean."""
        return {"use_bias": True} if self.folds_a_mean else {}

    @property
    def folds_a_mean(self) -> bool:
        """Whether a mean folds into the bias."""
        return self.decorrelation is not None and bool(self.decorrelator.center)

    def folded_weights(self) -> Any:
        """Returns arrays for the weights of `folded_layer()`, once that is built."""
        if self.decorrelation is None:
            return self.layer.get_weights()
        kernel = self.fold(ops.convert_to_tensor(self.kernel))
        bias = self.bias
        if self.folds_a_mean:
            mean = ops.cast(self.decorrelation.moving_mean, kernel.dtype)
            shift = self.shift(mean, kernel)
            bias = -shift if bias is None else bias - shift
        return [ops.convert_to_numpy(x) for x in (kernel, bias) if x is not None]

    def get_config(self) -> dict[str, Any]:
        return {
            **self.layer.get_config(),
            **super().get_config(),
            "activity_regularizer": keras.regularizers.serialize(self.activity_regularizer),
            "decorrelator": decorrelators.serialize(self.decorrelator),
        }


def signature(twin: Any) -> inspect.Signature:
    """Returns the signature of a Keras layer with an argument `decorrelator`."""
    _, *parameters = inspect.signature(twin.__init__).parameters.values()
    decorrelator = inspect.Parameter(
        "decorrelator", inspect.Parameter.KEYWORD_ONLY, default="norm_preserving"
    )
    rest = [p for p in parameters if p.kind is inspect.Parameter.VAR_KEYWORD]
    named = [p for p in parameters if p not in rest]
    return inspect.Signature([*named, decorrelator, *rest])
