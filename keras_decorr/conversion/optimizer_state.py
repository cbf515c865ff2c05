"""Carries the state of an optimizer over from a decorrelating model to the folded one.

A kernel `K` on decorrelated inputs and a bias `b` become `K_eff = M^T K` and `b_eff = b - mean K_eff`.
By the chain rule their gradients are `dK = M (dK_eff - mean db)` and `db = db_eff`. With a constant M

    dK_eff = M^-1 dK + mean db.

A momentum is a sum of gradients and is mapped exactly so. A mean square `v` of gradients, element by
element, tells nothing of how the elements go together; where they are uncorrelated, as between the rows
of `dK` that belong to decorrelated inputs, with squares element by element,

    v_eff = (M^-1)^2 v + mean^2 v_b.

Where M acts on the gradient, the optimizer saw `P dK` with `P = M^T M`: the momentum is mapped by
`P^-1`. Its mean squares stay: a dense net on CIFAR-10 went on better with them than with either
`(P^-1)^2 v` or `diag(P^-1) / diag(P) v`.

A bias that is new, because a mean has to go somewhere, gets the mean of `v_eff`
over the rows: with zeros Adam's first steps for it would be several times too large.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_decorr.backend.autodiff import read, vjp
from keras_decorr.backend.keras_internals import flatten_layers, optimizer_slots
from keras_decorr.layers.decor_layer import DecorLayer
from keras_decorr.layers.decor_rnn_layer import DecorRNNLayer

# Slots by the name of their attribute in Keras. All others of these optimizers are sums of gradients.
_SQUARES = ("velocities", "velocity_hats", "adam_velocities", "accumulators")
_WEIGHTS = ("model_variables_moving_average",)
OPTIMIZERS = tuple(
    getattr(keras.optimizers, name)
    for name in ("SGD", "Adam", "AdamW", "Nadam", "RMSprop", "Lion", "Adagrad", "Lamb", "Muon")
)
# The inverse of an explicit M takes its third power.
_MOST_FEATURES = 8192


def carry_over(new: Any, old: Any, layers: dict[int, Any], variables: dict[int, Any]) -> None:
    """Gives the optimizer of a folded model the state of the optimizer of the decorrelating one.

    Args:
        new: The folded model, compiled.
        old: The model that it was made from.
        layers: The layers of the new model, by the ids of those of the old one.
        variables: The same for the variables.

    Raises:
        ValueError: If the old model was not trained, its optimizer is none of `OPTIMIZERS` (nor one in
            a `LossScaleOptimizer`), or a layer has too many features to invert its M.
    """
    theirs = old.optimizer if old.compiled else None
    if theirs is None or not theirs.built:
        raise ValueError(
            "Argument `keep_optimizer` of fold needs a model that was trained: its optimizer has no "
            f"state. Received: {old!r}, optimizer={theirs!r}"
        )
    new.optimizer.build(new.trainable_variables)
    maps = {id(m.kernel): m for m in map(_KernelMap, _linear_maps(old))}
    biases = {
        id(layers[id(kernel.layer)].bias): kernel
        for kernel in maps.values()
        if kernel.bias is None and getattr(layers[id(kernel.layer)], "bias", None) is not None
    }
    _carry(new.optimizer, theirs, variables, maps, biases)


def _linear_maps(model: Any) -> list:
    """Returns the layers whose kernel a fold changes, or whose gradient M acted on."""
    kinds = DecorLayer | DecorRNNLayer
    layers = (layer for layer in flatten_layers(model) if isinstance(layer, kinds))
    return [layer for layer in layers if layer.decorrelation is not None]


def _carry(ours: Any, theirs: Any, twins: dict, maps: dict, biases: dict) -> None:
    if isinstance(theirs, keras.optimizers.LossScaleOptimizer):
        _carry(ours.inner_optimizer, theirs.inner_optimizer, twins, maps, biases)
        inner = {id(v) for x in (ours, theirs) for v in x.inner_optimizer.variables}
        _copy(ours.variables, theirs.variables, inner)
        return
    if not isinstance(theirs, OPTIMIZERS):
        raise ValueError(
            "Argument `keep_optimizer` of fold is for the optimizers "
            f"{[cls.__name__ for cls in OPTIMIZERS]}; of others the state cannot be mapped to folded "
            f"kernels. Received: {type(theirs).__name__}"
        )
    old_variables, old_slots = optimizer_slots(theirs)
    new_variables, new_slots = optimizer_slots(ours)
    of_variables = {id(v) for x in (old_slots, new_slots) for slot in x.values() for v in slot}
    _copy(ours.variables, theirs.variables, of_variables)
    place = {id(v): i for i, v in enumerate(new_variables)}
    index = {id(v): i for i, v in enumerate(old_variables)}
    for name, slot in new_slots.items():
        kept = old_slots[name]

        def value(variable: Any, kept: list = kept) -> Any:
            i = index.get(id(variable))
            return None if i is None or kept[i] is None else read(kept[i])

        for variable in old_variables:
            twin, known = twins.get(id(variable)), value(variable)
            if twin is None or known is None or slot[place[id(twin)]] is None:
                continue
            if id(variable) in maps:
                kernel = maps[id(variable)]
                known = kernel.mapped(name, known, value(kernel.bias))
            slot[place[id(twin)]].assign(known)
        if name in _SQUARES:
            for bias, kernel in biases.items():
                if bias in place and value(kernel.kernel) is not None:
                    slot[place[bias]].assign(kernel.square_of_a_new_bias(value(kernel.kernel)))


def _copy(ours: Sequence, theirs: Sequence, besides: set[int]) -> None:
    """Copies what an optimizer keeps for all variables together, such as its number of steps."""
    rest = [[v for v in variables if id(v) not in besides] for variables in (ours, theirs)]
    for mine, value in zip(*rest, strict=True):
        mine.assign(ops.convert_to_numpy(value))


class _KernelMap:
    """Maps the slots of one kernel."""

    def __init__(self, layer: Any) -> None:
        self.layer = layer
        self.kernel, self.bias = layer.kernel, layer.bias
        decorrelation = layer.decorrelation
        n = decorrelation.operator.n
        if n > _MOST_FEATURES:
            raise ValueError(
                f"Argument `keep_optimizer` of fold is for layers with at most {_MOST_FEATURES} "
                f"features, as it inverts M. Received: {layer.name!r} with {n} features"
            )
        self.M = np.asarray(ops.convert_to_numpy(decorrelation.fold(ops.eye(n))), "float64").T
        self.inverse = np.linalg.pinv(self.M) if _is_singular(self.M) else np.linalg.inv(self.M)
        center = decorrelation.decorrelator.center
        self.mean = ops.convert_to_tensor(decorrelation.moving_mean) if center else None

    def mapped(self, name: str, value: Any, of_bias: Any) -> Any:
        """Returns the value of a slot for the folded kernel.

        Args:
            name: Name of the slot.
            value: Its value for the kernel.
            of_bias: Its value for the bias, or `None`.
        """
        if name in _WEIGHTS:
            return self.layer.fold(value)
        squares = name in _SQUARES
        if self.layer.acts_on_gradient:
            return value if squares else self._on_rows(self.inverse @ self.inverse.T, value)
        new = self._on_rows(self.inverse**2 if squares else self.inverse, value)
        if self.mean is None or of_bias is None:
            return new
        mean = ops.square(self.mean) if squares else self.mean
        shift: Callable = lambda K: self.layer.shift(mean, K)  # noqa: E731
        return new + vjp(shift, value, of_bias)

    def square_of_a_new_bias(self, value: Any) -> Any:
        """Returns the mean over the rows of the mean square for the folded kernel."""
        n = len(self.M)
        return self.layer.shift(ops.ones(n) / n, self.mapped(_SQUARES[0], value, None))

    def _on_rows(self, A: np.ndarray, value: Any) -> Any:
        matrix = np.asarray(ops.convert_to_numpy(self.layer.matrix(value)), "float64")
        return self.layer.of_matrix(ops.convert_to_tensor(A @ matrix, dtype=value.dtype))


def _is_singular(M: np.ndarray) -> bool:
    return bool(np.linalg.cond(M, 1) > 1e12)
