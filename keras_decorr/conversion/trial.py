"""Tries a model out, to see whether a conversion left its outputs as they were."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from keras_decorr.backend.inference import without_side_effects
from keras_decorr.backend.keras_internals import Functional, flatten_layers
from keras_decorr.conversion.decorrelated import build_config
from keras_decorr.layers.call import takes_training
from keras_decorr.typing import Tensors

_TOLERANCE = 1e-2  # far more than rounding, for which there is the second term
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
        self._outputs: Any = None
        for size in _UNKNOWN_SIZES:
            inputs = _random_inputs(model, size)
            if inputs is None:
                return
            try:
                outputs = _called(model, inputs)
                again = _called(model, inputs)
            except Exception:
                continue
            if _close(outputs, again):
                self.inputs, self._outputs = inputs, outputs
            return

    def check(self, new: Any, converted: str) -> None:
        """Raises a ValueError, with the name of a layer, if the outputs are others.

        Args:
            new: The converted model. It may be the model itself.
            converted: What it is now, for the message.
        """
        if self.inputs is None:
            return
        try:
            reason = None if _close(self._outputs, _called(new, self.inputs)) else "other outputs"
        except Exception as error:
            reason = f"an error, {type(error).__name__}: {error}"
        if reason is None:
            return
        where = "" if new is self._model else self._first_difference(new)
        hint = (
            ""
            if new is self._model
            else " If its configuration does not give it back, convert the model "
            "itself: give `inplace=True`."
        )
        raise ValueError(f"{converted} the model {new.name!r} has {reason}{where}.{hint}")

    def _first_difference(self, new: Any) -> str:
        with _recorded(self._model) as ours, _recorded(new) as theirs:
            for model in (self._model, new):
                try:
                    _called(model, self.inputs)
                except Exception:
                    continue
        outputs: dict[str, list] = {}
        for path, y in theirs:
            outputs.setdefault(path, []).append(y)
        for path, y in ours:
            others = outputs.get(path)
            if others and not _close(y, others.pop(0)):
                return f", first the layer {path!r}"
        return ""


def _random_inputs(model: Any, size: int) -> tuple[list[Any], dict[str, Any]] | None:
    """Returns arguments of a call, or `None` if nothing numerical of known shapes will do.

    Sizes that are not known are 2 for the batch, else as given.
    """
    rng = np.random.default_rng(0)

    def tensor(shape: Any, dtype: Any) -> Any:
        batch, *rest = shape
        x = rng.uniform(size=(batch or 2, *(n or size for n in rest)))
        # Integers may be indices, so that 0 and 1 will do.
        x = x if "float" in dtype else np.round(x)
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


def _close(ours: list[np.ndarray], theirs: list[np.ndarray]) -> bool:
    return len(ours) == len(theirs) and all(
        a.shape == b.shape
        and np.linalg.norm(a - b) <= _TOLERANCE * np.linalg.norm(a) + _ROUNDING * np.sqrt(a.size)
        for a, b in zip(ours, theirs, strict=True)
    )


@contextmanager
def _recorded(model: Any) -> Iterator[list]:
    """Collects `(path, outputs)` of every call of a layer inside, the innermost first."""
    calls: list[tuple[str, list[np.ndarray]]] = []

    def record(layer: Any) -> Any:
        call = layer.call

        def recording(*args: Any, **kwargs: Any) -> Any:
            y = call(*args, **kwargs)
            calls.append((layer.path or layer.name, _arrays(y)))
            return y

        return recording

    layers = list(flatten_layers(model))
    for layer in layers:
        object.__setattr__(layer, "call", record(layer))
    try:
        yield calls
    finally:
        for layer in layers:
            object.__delattr__(layer, "call")
