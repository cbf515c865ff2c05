"""Gives a decorrelating layer the attributes of the Keras layer that it holds."""

import functools
import inspect
from typing import Any

# Methods beside the arguments.
_METHODS = ("enable_lora", "reset_state", "reset_states")


class LikeItsTwin:
    """Has an attribute for each argument of its `twins`: `filters`, `activation`, ...

    So code that asks a Keras layer for them goes on working when the layer is converted.
    """

    # Keras layers that `self.layer` may be.
    twins: tuple[type, ...] = ()
    layer: Any

    def __getattr__(self, name: str) -> Any:  # only where nothing of that name is found
        if name in _attributes(type(self).twins) and name not in ("layer", "kwargs"):
            return getattr(self.layer, name)
        of_torch = getattr(super(), "__getattr__", None)  # whose modules keep their parts there
        if of_torch is not None:
            return of_torch(name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


@functools.cache
def _attributes(twins: tuple) -> frozenset:
    arguments = (name for twin in twins for name in inspect.signature(twin).parameters)
    return frozenset((*arguments, *_METHODS))
