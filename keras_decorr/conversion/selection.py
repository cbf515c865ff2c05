"""Which layers of a model a user means."""

import difflib
import fnmatch
from collections.abc import Sequence
from typing import Any

import keras

from keras_decorr.layers.walk import Place


class Selection:
    """The arguments `layers` and `exclude` of a conversion.

    Args:
        places: Every `Place` of the model.
        layers: What to convert, or `None` for all: the name of a layer, its path (`"backbone/conv1"`),
            a pattern of either as in a file name (`"block3_*"`, `"*/attention"`), a layer type (its
            subclasses count) or a layer; or a list of these. One that names a nested model means all
            that is in it.
        exclude: What to leave, in the same form.

    Raises:
        ValueError: If one of them matches nothing.
        TypeError: If one of them is something else.
    """

    def __init__(self, places: Sequence[Place], layers: Any = None, exclude: Any = None) -> None:
        included = None if layers is None else self._found("layers", layers, places)
        excluded = set() if exclude is None else self._found("exclude", exclude, places)
        self._included, self._excluded = included, excluded

    def reason_against(self, layer: Any) -> str | None:
        """Why a layer is not selected, or `None` if it is."""
        if id(layer) in self._excluded:
            return "excluded"
        if self._included is not None and id(layer) not in self._included:
            return "not among `layers`"
        return None

    @staticmethod
    def _found(argument: str, selectors: Any, places: Sequence[Place]) -> set[int]:
        """The ids of all layers that selectors match."""
        several = isinstance(selectors, list | tuple | set)
        found: set[int] = set()
        for selector in selectors if several else [selectors]:
            matched = {
                id(place.layer)
                for place in places
                if any(_matches(argument, selector, *link) for link in place.chain)
            }
            if not matched:
                raise ValueError(_unmatched(argument, selector, places))
            found |= matched
        return found


def _matches(argument: str, selector: Any, path: str, layer: Any) -> bool:
    if isinstance(selector, str):
        return fnmatch.fnmatchcase(layer.name, selector) or fnmatch.fnmatchcase(path, selector)
    if isinstance(selector, type):
        return isinstance(layer, selector)
    if isinstance(selector, keras.layers.Layer):
        return layer is selector
    raise TypeError(
        f"Argument `{argument}` takes layer names or patterns of names, layer types, layers, or a list "
        f"of these. Received: {selector!r}"
    )


def _unmatched(argument: str, selector: Any, places: Sequence[Place]) -> str:
    if isinstance(selector, str):
        names = dict.fromkeys(name for place in places for name in (place.layer.name, place.path))
        close = difflib.get_close_matches(selector, names, n=5, cutoff=0.5)
        known = f"Close to it: {close}." if close else f"The layers are {[*names][:20]}."
    else:
        types = sorted({type(place.layer).__name__ for place in places})
        known = f"The model has layers of the types {types}."
    return f"Argument `{argument}` names no layer of the model. {known} Received: {selector!r}"
