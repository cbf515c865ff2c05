"""A decorrelating layer over the steps of a sequence."""

from typing import Any

import keras
from keras import ops

from keras_decorr.decorrelators import Decorrelator
from keras_decorr.layers.decor_layer import DecorLayer
from keras_decorr.layers.twin import TWINS, DecorrelatingTwin, register
from keras_decorr.typing import Shape, Tensor


@register
class DecorTimeDistributed(DecorrelatingTwin, keras.layers.TimeDistributed):
    """`keras.layers.TimeDistributed` of a decorrelating layer, with one M for all steps.

    Keras calls the layer inside once a step, with a loop or a vectorized map. Here it sees all steps as
    samples of one batch, as M needs them; the outputs are the same.

    Args:
        layer: The layer. It is made a decorrelating one if it is a linear map of Keras.
        decorrelator: Name of a decorrelation rule, a `keras_decorr.decorrelators.Decorrelator`, or
            `None`, for a layer that does not decorrelate yet. Defaults to that of the layer.
        **kwargs: Arguments of every Keras layer, such as `name` and `dtype`.

    Call arguments:
        inputs: Tensor `(batch, steps, ...)`.
        training: Passed on to the layer.
        mask: Boolean mask `(batch, steps)`. Steps with False do not count in the statistics.

    Raises:
        ValueError: If the layer is no linear map.

    Example:

    >>> import numpy as np, keras_decorr
    >>> layer = keras_decorr.layers.DecorTimeDistributed(keras_decorr.layers.DecorDense(5))
    >>> tuple(layer(np.ones((3, 7, 4), "float32")).shape)
    (3, 7, 5)
    """

    twin = keras.layers.TimeDistributed

    def __init__(self, layer: Any, *, decorrelator: Any = None, **kwargs: Any) -> None:
        if not isinstance(layer, DecorLayer):
            twin = TWINS.get(type(layer))
            if twin is None or not issubclass(twin, DecorLayer):
                raise ValueError(
                    "Argument `layer` of DecorTimeDistributed must be a linear map, such as a "
                    f"keras.layers.Dense. Received: {layer!r}"
                )
            layer = twin.from_config({**layer.get_config(), "decorrelator": decorrelator})
        super().__init__(layer, decorrelator=None, **kwargs)

    @property
    def decorrelator(self) -> Any:
        """The `Decorrelator` of the layer inside, or `None`."""
        return self.layer.decorrelator

    def call(self, inputs: Tensor, training: bool | None = None, mask: Tensor = None) -> Tensor:
        shape = ops.shape(inputs)
        flat = ops.reshape(inputs, (-1, *shape[2:]))
        arguments = {"training": training}
        if mask is not None and len(flat.shape) == 2:
            arguments["mask"] = ops.reshape(mask, (-1,))
        outputs = self.layer(flat, **arguments)
        return ops.reshape(outputs, (-1, shape[1], *ops.shape(outputs)[1:]))

    @classmethod
    def reason_against(cls, layer: Any, decorrelator: Decorrelator) -> str | None:
        twin = TWINS.get(type(layer.layer))
        if twin is None or not issubclass(twin, DecorLayer):
            return "inside is more than one linear map, or none: put it over the sequence by itself"
        reason: str | None = twin.reason_against(layer.layer, decorrelator)
        return reason

    def start_decorrelation(self, rule: Decorrelator, input_shape: Shape) -> None:
        batch, steps, *rest = input_shape
        rows = None if batch is None or steps is None else batch * steps
        TWINS[type(self.layer)].attach(self.layer, rule, (rows, *rest))

    @property
    def takes_mean(self) -> bool:
        return bool(self.layer.takes_mean)

    def merge(self) -> None:
        self.layer.merge()

    def detach(self) -> None:
        if isinstance(self.layer, DecorLayer):
            self.layer.detach()
        super().detach()

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.pop("decorrelator")  # the layer inside has it
        return config
