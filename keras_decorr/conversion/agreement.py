"""Whether a layer of a user's class still does the same once the layers inside it are folded.

Its code may do more with them than call them. A kernel that it uses itself acts on decorrelated inputs
before, and on raw ones afterwards.
"""

from typing import Any

import keras
import numpy as np

from keras_decorr.backend.keras_internals import flatten_layers
from keras_decorr.layers.call import takes_training
from keras_decorr.typing import Tensor, Tensors

TOLERANCE = 1e-2  # far more than rounding, for which there is the second term
ROUNDING = 1e-5


def agree(old: Any, new: Any) -> bool:
    """Whether two layers give the same outputs in inference, as far as that can be tried out."""
    try:
        x = _some_inputs(old)
        ours, again, theirs = (_outputs(layer, x) for layer in (old, old, new))
    except Exception:  # it cannot be called with inputs of its shape alone
        return True
    by_chance = not _close(ours, again)
    return by_chance or _close(ours, theirs)


def _some_inputs(layer: Any) -> Tensor:
    """Random inputs of the shape that a layer was built for."""
    if any(part.compute_dtype not in ("float32", "float64") for part in flatten_layers(layer)):
        raise ValueError("Lower precision would look like another outcome.")
    _, *shape = layer.get_build_config()["input_shape"]
    x = np.random.default_rng(0).uniform(size=(2, *shape))  # of no sign: they may be indices
    return keras.ops.convert_to_tensor(x, layer.compute_dtype)


def _outputs(layer: Any, x: Tensors) -> list[np.ndarray]:
    """The outputs of a layer that leave its state as it was."""
    state = (
        [v.value for v in layer.trainable_variables],
        [v.value for v in layer.non_trainable_variables],
    )
    arguments = {"training": False} if takes_training(layer) else {}
    outputs, _ = layer.stateless_call(*state, x, **arguments)
    floats = [y for y in keras.tree.flatten(outputs) if keras.backend.is_float_dtype(y.dtype)]
    return [keras.ops.convert_to_numpy(y) for y in floats]


def _close(ours: Any, theirs: Any) -> bool:
    return all(
        np.linalg.norm(a - b) <= TOLERANCE * np.linalg.norm(a) + ROUNDING * np.sqrt(a.size)
        for a, b in zip(ours, theirs, strict=True)
    )
