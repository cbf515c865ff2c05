"""What an optimizer spares from weight decay, for a converted model.

Keras keeps that beside the configuration of the optimizer, by the identity of the variables.
"""

from collections.abc import Sequence
from typing import Any

import keras

from keras_decorr.backend.keras_internals import flatten_layers, spared_from_weight_decay
from keras_decorr.layers import Decorrelation


def spare_like(new: Any, old: Any, pairs: Sequence[tuple[Any, Any]]) -> None:
    """Make an optimizer spare from weight decay what another spares in the original model.

    Args:
        new: The fresh optimizer.
        old: That of the original model.
        pairs: The old and the new one of every layer, what is inside before what it is in.
    """
    if isinstance(old, keras.optimizers.LossScaleOptimizer):
        spare_like(new.inner_optimizer, old.inner_optimizer, pairs)
        return
    twins = variable_pairs(pairs)
    spared, pattern = spared_from_weight_decay(old, [theirs for theirs, _ in twins])
    if pattern is None and not any(spared):
        return None
    ours = [twin for (_, twin), spares in zip(twins, spared, strict=True) if spares]
    # The pattern is for variables that only the new model has, such as a bias that takes a mean.
    new.exclude_from_weight_decay(ours, [pattern] if pattern else None)


def variable_pairs(pairs: Sequence[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """`(old, new)` for every variable that is in both models."""
    twins: dict = {}  # by the id of the old one
    for old, new in pairs:
        taken = {id(twin) for _, twin in twins.values()}
        rest = [v for v in _weights(new) if id(v) not in taken]
        for variable in _weights(old):
            if id(variable) not in twins:  # else it is of a layer inside
                # They are in the same order, but the new layer may have more.
                like = [v for v in rest if tuple(v.shape) == tuple(variable.shape)]
                if like:
                    twins[id(variable)] = variable, like[0]
                    rest = [v for v in rest if v is not like[0]]
    return [(old, _last(twin, twins)) for old, twin in twins.values()]


def _last(twin: Any, twins: dict[int, Any]) -> Any:
    """The variable in the new model: a nested model may be copied, and that copy once more."""
    while id(twin) in twins:
        twin = twins[id(twin)][1]
    return twin


def _weights(layer: Any) -> list[Any]:
    """The weights of a layer that a plain one has, too."""
    parts = [part for part in flatten_layers(layer) if isinstance(part, Decorrelation)]
    others = {id(v) for part in parts for v in part.weights}
    return [v for v in layer.weights if id(v) not in others]
