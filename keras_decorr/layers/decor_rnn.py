"""The recurrent layer of version 0.1.0."""

import functools
from typing import Any

import keras

from keras_decorr import decorrelators
from keras_decorr.backend.keras_internals import StoredElsewhere
from keras_decorr.layers.decor_rnn_layer import DecorRNNLayer
from keras_decorr.layers.twin import TWINS


@keras.saving.register_keras_serializable(package="keras_decorr")
class DecorRNN:
    """A recurrent layer, made decorrelating. Kept for code and files of version 0.1.0.

    Use `DecorLSTM`, `DecorGRU` or `DecorSimpleRNN`. An instance is one of these, too.

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

    def __new__(cls, layer: Any, decorrelator: Any = "norm_preserving", **kwargs: Any) -> Any:
        twin = TWINS.get(type(layer))
        if twin is None or not issubclass(twin, DecorRNNLayer):
            raise ValueError(
                "Argument `layer` of DecorRNN must be a keras.layers.LSTM, GRU or SimpleRNN. Put a "
                f"keras_decorr.layers.Decorrelation before any other. Received: {layer!r}"
            )
        config = {**layer.get_config(), **kwargs, "decorrelator": decorrelator}
        new = twin.from_config(config)
        object.__setattr__(new, "__class__", _subclass(twin))
        return new

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Does nothing: the layer is made already."""

    def get_config(self: Any) -> dict[str, Any]:
        """Returns the configuration as version 0.1.0 wrote it."""
        config = super().get_config()  # type: ignore[misc]
        config.pop("decorrelator")
        plain = {"module": "keras.layers", "class_name": self.twin.__name__, "config": config}
        return {
            "name": self.name,
            "layer": {**plain, "registered_name": None},
            "decorrelator": decorrelators.serialize(self.decorrelator),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """Returns the layer of a file."""
        layer = keras.saving.deserialize_keras_object(config.pop("layer"), custom_objects)
        return DecorRNN(layer, **config)

    @property
    def layer(self: Any) -> Any:
        """Where a file of version 0.1.0 has the cell."""
        # Kept: Keras knows by their ids which objects it has loaded. It looks at no such attribute.
        held: Any = self.__dict__.setdefault("__held", _Held(self.cell))
        return held


class _Held(StoredElsewhere):
    def __init__(self, cell: Any) -> None:
        super().__init__(lambda store: None)
        self.cell = cell


@functools.cache
def _subclass(twin: Any) -> Any:
    # Keras finds the variables of a layer in a file by the name of its class.
    members = {"__module__": __name__, "__doc__": DecorRNN.__doc__}
    register = keras.saving.register_keras_serializable(package="keras_decorr", name="DecorRNN")
    return register(type("DecorRNN", (DecorRNN, twin), members))
