"""Tries a model out, to see whether a conversion left its outputs as they were."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from keras_decorr.backend.inference import without_side_effects
from keras_decorr.backend.keras_internals import Functional, flatten_layers
from keras_decorr.conversion.decorrelated import build_config
from keras_decorr.layers.call import takes_training
from keras_decorr.layers.twin import DecorrelatingTwin
from keras_decorr.layers.walk import Place, once, walk
from keras_decorr.typing import Tensors

# Relative to the norm: a hundred times what folding costs in float32, and what it costs in bfloat16.
_TOLERANCE, _OF_LOW_PRECISION = 1e-3, 1e-1
_ROUNDING = 1e-5
_UNKNOWN_SIZES = (8, 64)  # that are tried where a size is not known


class Trial:
    """The outputs of a layer or model in inference on random inputs, before a conversion.

    Args:
        model: A built layer or model. One that cannot be called with inputs of its shapes alone, or
            whose outputs differ by chance, is not tried.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self.inputs: Any = None
        exact = all(
            layer.compute_dtype in ("float32", "float64")
            for layer in flatten_layers(model)
            if "float" in layer.compute_dtype
        )
        self._tolerance = _TOLERANCE if exact else _OF_LOW_PRECISION
        self._outputs: Any = None
        for size in _UNKNOWN_SIZES:
            inputs = _random_inputs(model, size)
            if inputs is None:
                return
            try:
                self._outputs = _called(model, inputs)
            except Exception:
                continue
            self.inputs = inputs
            return

    def check(self, new: Any, message: str, undo: Callable[[], None] | None = None) -> None:
        """Raises a ValueError, with the name of the first such layer, if the outputs are others.

        Args:
            new: The converted model.
            message: What may be the cause, and what to do.
            undo: A function that makes the model what it was, if `new` is the model itself.
        """
        if self.inputs is None:
            return
        try:
            outputs = _called(new, self.inputs)
            if self._close(self._outputs, outputs):
                return
            if not self._close(outputs, _called(new, self.inputs)):
                return  # they differ by chance
            reason = "has other outputs"
        except Exception as error:
            reason = f"cannot be called: {type(error).__name__}: {error}"
        where = self._first_difference(new, undo)
        raise ValueError(f"Converted, the model {new.name!r} {reason}{where}. {message}")

    def _close(self, ours: list[np.ndarray], theirs: list[np.ndarray]) -> bool:
        return len(ours) == len(theirs) and all(
            a.shape == b.shape
            and np.linalg.norm(a - b)
            <= self._tolerance * np.linalg.norm(a) + _ROUNDING * np.sqrt(a.size)
            for a, b in zip(ours, theirs, strict=True)
        )

    def _first_difference(self, new: Any, undo: Callable[[], None] | None) -> str:
        after: dict[str, list] = {}
        for path, y in self._recorded(new):
            after.setdefault(path, []).append(y)
        if undo is not None:
            undo()
        for path, y in self._recorded(self._model):
            others = after.get(path)
            if others and not self._close(y, others.pop(0)):
                return f", first the layer {path!r}"
        return ""

    def _recorded(self, model: Any) -> list[tuple[str, list[np.ndarray]]]:
        """Returns `(path, outputs)` of every call of a layer inside, the innermost first."""
        with _recorded(model) as calls:
            try:
                _called(model, self.inputs)
            except Exception:
                return calls  # what was recorded before tells where
        return calls


def _random_inputs(model: Any, size: int) -> tuple[list[Any], dict[str, Any]] | None:
    """Returns arguments of a call, or `None` if nothing numerical of known shapes will do.

    Sizes that are not known are 1 for the batch, else as given.
    """
    rng = np.random.default_rng(0)

    def tensor(shape: Any, dtype: Any) -> Any:
        batch, *rest = shape
        x = rng.uniform(size=(batch or 1, *(n or size for n in rest)))
        # Integers may be indices, so that 0 and 1 will do.
        if "float" not in dtype:
            return keras.ops.convert_to_tensor(np.round(x), "bool" if dtype == "bool" else "int32")
        return keras.ops.convert_to_tensor(x, dtype)

    if getattr(model, "inputs", None):
        structure = model.input if isinstance(model, Functional) else model.inputs[0]
        if any(t.dtype == "string" for t in keras.tree.flatten(structure)):
            return None
        return [keras.tree.map_structure(lambda t: tensor(t.shape, t.dtype), structure)], {}
    config = build_config(model)
    shapes = config.get("shapes_dict") or config
    if not shapes:
        return None

    def tensors(shapes: Any) -> Any:
        if isinstance(shapes, dict):
            return {name: tensors(shape) for name, shape in shapes.items()}
        if all(n is None or isinstance(n, int) for n in shapes):
            return tensor(shapes, model.compute_dtype)
        return [tensors(shape) for shape in shapes]

    first, *others = shapes.items()
    return [tensors(first[1])], {name.removesuffix("_shape"): tensors(x) for name, x in others}


def _called(model: Any, inputs: Any) -> list[np.ndarray]:
    """Returns the outputs of a call that changes no state."""
    args, kwargs = inputs
    if takes_training(model):
        kwargs = {**kwargs, "training": False}
    with keras.StatelessScope(), without_side_effects():
        return _arrays(model(*args, **kwargs))


def _arrays(outputs: Tensors) -> list[np.ndarray]:
    floats = [
        y
        for y in keras.tree.flatten(outputs)
        if keras.ops.is_tensor(y) and "float" in keras.backend.standardize_dtype(y.dtype)
    ]
    return [np.asarray(keras.ops.convert_to_numpy(y), "float64") for y in floats]


@contextmanager
def _recorded(model: Any) -> Iterator[list]:
    """Collects `(path, outputs)` of every call of a layer inside."""
    calls: list[tuple[str, list[np.ndarray]]] = []

    def record(place: Place) -> Any:
        call = place.layer.call

        def recording(*args: Any, **kwargs: Any) -> Any:
            y = call(*args, **kwargs)
            calls.append((place.path, _arrays(y)))
            return y

        return recording

    # What is inside a decorrelating layer differs once M is merged.
    places = once(walk(model, lambda layer: not isinstance(layer, DecorrelatingTwin)))
    for place in places:
        object.__setattr__(place.layer, "call", record(place))
    try:
        yield calls
    finally:
        for place in places:
            object.__delattr__(place.layer, "call")
