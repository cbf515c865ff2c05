"""A plain Keras model from a decorrelating one."""

from typing import Any

import keras

from keras_decorr.backend.keras_internals import Functional
from keras_decorr.conversion import to_plain  # noqa: F401, it fills the registry
from keras_decorr.conversion.agreement import agree
from keras_decorr.conversion.checks import check_model, has_decorrelation
from keras_decorr.conversion.converter import Converter
from keras_decorr.conversion.optimizer_state import carry_over
from keras_decorr.conversion.registry import folding
from keras_decorr.conversion.report import Row, features_of, structure_of
from keras_decorr.conversion.state import build_like
from keras_decorr.training import Model, Sequential
from keras_decorr.training.model import FunctionalModel

_MODEL_TYPES = {Model: keras.Model, FunctionalModel: Functional, Sequential: keras.Sequential}


def fold(model: keras.Model, keep_optimizer: bool = False) -> keras.Model:
    """A copy of a model in which mean, M and kernel are merged into plain Keras layers.

    In inference the outputs are the same, at the cost of the plain layers; nothing of `keras_decorr` is
    needed to load the model once it is saved.

    This holds for layers that are called. A class of your own that uses the `kernel` of one in its
    code, as to tie weights, gets M^T K in the place of K, and does something else: leave that layer out
    with the `exclude` of `decorrelate`. Classes of your own are tried out on random inputs, but not
    those with several inputs, with inputs of unknown length or with less than float32: compare the
    outputs of these yourself.

    Args:
        model: A built keras.Model with decorrelating layers. It is not changed.
        keep_optimizer: Give the optimizer of the new model the state of the old one (steps, momenta,
            mean squares of gradients), mapped to the folded kernels, so that training goes on in plain
            layers without a new start: see `conversion.optimizer_state`. It takes another path than
            with M, as a plain step has no M in it: lower the learning rate (in a dense net to 0.3 of
            it) if the loss rises, or freeze M instead (`callbacks.FreezeDecorrelation`), which leaves
            the path as it is. Defaults to False, a fresh optimizer.

    Returns:
        A keras.Model or keras.Sequential; where the model is of a class of the user's own, one of that
        class. Layers without a bias get one where a mean has to go somewhere. Its `conversion_report`
        says what became of the layers. It is compiled if the model was, for backpropagation.

    Raises:
        TypeError: If `model` is no Keras model.
        ValueError: If the model is not built or has no decorrelating layers, if one of these cannot
            be folded, or if a layer of a class of your own does something else once they are; with
            `keep_optimizer`, if the model was not trained or has an optimizer that this is not for.

    Example:

    >>> import keras, keras_decorr
    >>> plain = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4), keras.layers.Dense(2)])
    >>> model = keras_decorr.fold(keras_decorr.decorrelate(plain))
    >>> [type(layer).__name__ for layer in model.layers]
    ['Dense', 'Dense']
    """
    check_model("fold", model)
    converter = _Folding(model, folding)
    new = converter.clone({}, nested_types=_MODEL_TYPES)
    if not converter.report.converted:
        raise ValueError(
            "Argument `model` of fold has no decorrelating layers. Received: "
            f"{model!r} with layers {[layer.name for layer in model.layers][:20]}"
        )
    converter.check_own_classes()
    folded = converter.finish(new)
    if keep_optimizer:
        carry_over(folded, model, converter.pairs)
    return folded


class _Folding(Converter):
    def convert(self, layer: Any, inside: bool) -> Any:
        if not self.registry.has(layer):
            reason = self.registry.convert(layer)
            self.leave(layer, reason if has_decorrelation(layer) else "does not decorrelate")
            return None
        new = self.registry.convert(layer)
        if isinstance(new, str):
            self.leave(layer, new)
            return None
        if not inside:
            build_like(new, layer)
        into = type(new).__name__, structure_of(layer), features_of(layer)
        self.rows.append(Row(self.path(layer), type(layer).__name__, True, *into))
        return new

    def load(self, old: Any, new: Any) -> None:
        new.set_weights(old.folded_weights())

    def check_own_classes(self) -> None:
        """Raise if code of the user's has another outcome with the folded layers."""
        for old, new in self.pairs:
            if self.descends(old) and has_decorrelation(old) and not agree(old, new):
                raise ValueError(
                    f"{type(new).__name__} {self.path(old)!r} has other outputs once its layers are "
                    "folded. Its code does more with one of them than call it, such as using its "
                    "`kernel`, which acts on raw inputs only when folded. Leave that layer out: "
                    f"`keras_decorr.decorrelate(model, exclude=...)`. Received: {old!r}"
                )

    def leave(self, layer: Any, reason: str) -> None:
        if has_decorrelation(layer):
            raise ValueError(
                f"Layer {self.path(layer)!r} cannot be folded: {reason}. Received: {layer!r}"
            )
        super().leave(layer, reason)
