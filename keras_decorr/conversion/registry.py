"""Which function converts a layer: one for each type, open to a user's own layers."""

from collections.abc import Callable
from typing import Any


class Registry:
    """Functions by the exact type of the layer that they convert.

    A subclass is not converted by the function of its base, which cannot know what the subclass does
    differently.

    Args:
        purpose: What the functions do, for messages.
        example: How a user adds one, for messages.
    """

    def __init__(self, purpose: str, example: str) -> None:
        self.purpose = purpose
        self.example = example
        self._functions: dict[type, Any] = {}

    def register(self, *types: type) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Decorator that enters a function for one or more layer types."""
        for cls in types:
            if not isinstance(cls, type):
                raise ValueError(f"A conversion is registered for layer types. Received: {cls!r}")

        def enter(function: Callable[..., Any]) -> Callable[..., Any]:
            for cls in types:
                self._functions[cls] = function
            return function

        return enter

    def has(self, layer: Any) -> bool:
        """Whether there is a function for exactly this type."""
        return type(layer) in self._functions

    def convert(self, layer: Any, *arguments: Any) -> Any:
        """The new layer that the function of this type makes, or the reason why there is none."""
        function = self._functions.get(type(layer))
        if function is not None:
            return function(layer, *arguments)
        kind = type(layer).__name__
        for base in type(layer).__mro__:
            if base in self._functions:
                return (
                    f"{kind} is a subclass of {base.__name__} that may compute something else: see "
                    f"{self.example}"
                )
        return f"no function {self.purpose} a {kind}: see {self.example}"


decorrelating = Registry("decorrelates", "keras_decorr.conversion.register")
folding = Registry("folds", "keras_decorr.conversion.register_fold")


def register(*types: type) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator: say how `decorrelate` converts a layer type of yours.

    The function takes a built layer and a `Decorrelator` and gives a new layer, or a string that says
    why this one stays as it is. The new layer is not built yet; once it is, `decorrelate` calls its
    `load_plain(layer)` to take the weights over. For `fold` it needs `folded_layer()`, a new plain
    layer that is not built, and `folded_weights()`, the arrays for it; see `register_fold`.

    Args:
        *types: Layer types, matched exactly.

    Returns:
        The decorator.

    Raises:
        ValueError: If something else than types is given.

    Example:

    >>> import keras, keras_decorr
    >>> class Scaled(keras.layers.Dense):
    ...     def call(self, inputs):
    ...         return 2.0 * super().call(inputs)
    >>> @keras_decorr.conversion.register(Scaled)
    ... def decorrelate_scaled(layer, decorrelator):
    ...     return "its kernel is shared with a table"
    """
    return decorrelating.register(*types)


def register_fold(*types: type) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator: say how `fold` converts a decorrelating layer type of yours.

    The function takes the built layer and gives a new plain layer, or a string that says why not.
    `fold` sets the weights of the new layer, once built, to the `folded_weights()` of the old one.

    Args:
        *types: Layer types, matched exactly.

    Returns:
        The decorator.

    Raises:
        ValueError: If something else than types is given.

    Example:

    >>> import keras_decorr
    >>> class MyDecorDense(keras_decorr.layers.DecorDense):
    ...     pass
    >>> @keras_decorr.conversion.register_fold(MyDecorDense)
    ... def fold_mine(layer):
    ...     return layer.folded_layer()
    """
    return folding.register(*types)
