"""Rules that update the decorrelation matrix M of a layer from its inputs."""

from typing import Any

import keras

from keras_decorr.decorrelators import structures
from keras_decorr.decorrelators.decorrelated_backprop import DecorrelatedBackprop
from keras_decorr.decorrelators.decorrelator import Decorrelator
from keras_decorr.decorrelators.foldiak import Foldiak
from keras_decorr.decorrelators.norm_preserving import NormPreserving
from keras_decorr.decorrelators.recurrent import Recurrent
from keras_decorr.decorrelators.structures import STRUCTURES
from keras_decorr.decorrelators.zca import ZCA

DECORRELATORS: dict[str, type[Decorrelator]] = {
    "norm_preserving": NormPreserving,
    "decorrelated_backprop": DecorrelatedBackprop,
    "recurrent": Recurrent,
    "zca": ZCA,
    "foldiak": Foldiak,
}


def get(identifier: Any) -> Any:
    """Returns a new decorrelator for one layer.

    Args:
        identifier: A name (`"norm_preserving"`, `"decorrelated_backprop"`, `"recurrent"`, `"zca"`,
            `"foldiak"`), a `Decorrelator`, the dictionary of `serialize`, or `None`.

    Returns:
        A new `Decorrelator`, or `None`.

    Raises:
        ValueError: If the identifier is none of these.

    Example:

    >>> import keras_decorr
    >>> keras_decorr.decorrelators.get("norm_preserving").structure
    Auto(groups=32)
    """
    if identifier is None:
        return None
    if isinstance(identifier, str) and identifier in DECORRELATORS:
        return DECORRELATORS[identifier]()
    if isinstance(identifier, dict):
        identifier = keras.saving.deserialize_keras_object(identifier)
    if isinstance(identifier, Decorrelator):
        return identifier.clone()
    hint = ""
    if isinstance(identifier, str) and identifier in STRUCTURES:
        hint = f"That is a structure of M: give NormPreserving(structure={identifier!r}). "
    raise ValueError(
        f"Argument `decorrelator` must be one of {sorted(DECORRELATORS)}, an instance of "
        f"keras_decorr.decorrelators.Decorrelator or None. {hint}Received: {identifier!r}"
    )


def serialize(decorrelator: Any) -> Any:
    """Returns the configuration of a decorrelator (or `None`), as `keras.saving` writes it.

    Example:

    >>> import keras_decorr
    >>> rule = keras_decorr.decorrelators.NormPreserving(learning_rate=1e-4)
    >>> keras_decorr.decorrelators.serialize(rule)["config"]["learning_rate"]
    0.0001
    """
    return keras.saving.serialize_keras_object(decorrelator)


def deserialize(config: Any) -> Any:
    """Returns a decorrelator from the configuration that `serialize` returned.

    Example:

    >>> from keras_decorr import decorrelators
    >>> config = decorrelators.serialize(decorrelators.NormPreserving(learning_rate=1e-4))
    >>> decorrelators.deserialize(config).learning_rate
    0.0001
    """
    return get(config)


__all__ = [
    "DECORRELATORS",
    "ZCA",
    "DecorrelatedBackprop",
    "Decorrelator",
    "Foldiak",
    "NormPreserving",
    "Recurrent",
    "deserialize",
    "get",
    "serialize",
    "structures",
]
