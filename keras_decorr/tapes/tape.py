"""Base class of the tapes: a gradient tape, the wiring of a rule, one update of M."""

from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

import keras

from keras_decorr import rules
from keras_decorr.context import collection, wiring
from keras_decorr.context.wiring import Wiring
from keras_decorr.rules.learning_rule import LearningRule
from keras_decorr.tapes.state import own_rule
from keras_decorr.training.step import DecorrelationStep
from keras_decorr.typing import Tensors


class Tape:
    """Records the forward passes of one training step in TensorFlow and updates M at its end.

    A subclass names its `kind` of rule and gives `_state` and `_wiring`.

    Args:
        model: A built Keras model.
        rule: The rule, or `None` for the model's own if it is of this kind, else the tape's default.
        persistent: As in `tf.GradientTape`.
        watch_accessed_variables: As in `tf.GradientTape`.

    Attributes:
        model: The model.
        rule: The rule.
        state: The variables that the rule keeps for the model.
    """

    kind: type[rules.LearningRule]
    defaults: dict = {}  # noqa: RUF012 - never changed

    def __init__(
        self,
        model: keras.Model,
        rule: LearningRule | None = None,
        persistent: bool = False,
        watch_accessed_variables: bool = True,
    ) -> None:
        name, backend = type(self).__name__, keras.backend.backend()
        if backend != "tensorflow":
            raise NotImplementedError(
                f"{name} is for TensorFlow alone. On other backends compile a keras_decorr.Model with "
                f"the learning rule, or use keras_decorr.training.gradients. Received: {backend!r}"
            )
        if not isinstance(model, keras.Model):
            raise ValueError(
                f"Argument `model` of {name} must be a Keras model. Received: {model!r}"
            )
        if rule is None:
            rule = own_rule(model, self.kind) or self.kind(**self.defaults)
        if not isinstance(rule, self.kind):
            raise ValueError(
                f"Argument `rule` of {name} must be a keras_decorr.rules.{self.kind.__name__} or "
                f"None. Received: {rule!r}"
            )
        import tensorflow as tf

        self.model: Any = model
        self.rule: Any = rule
        self.state = self._state()
        self._tape = tf.GradientTape(persistent, watch_accessed_variables)
        self._open = ExitStack()

    def _state(self) -> Any:
        raise NotImplementedError

    def _wiring(self) -> Wiring:
        raise NotImplementedError

    def __enter__(self) -> Self:
        wires = self._wiring()
        self._samples: Any = self._open.enter_context(collection.collect())
        self._open.enter_context(wiring.opened(wires))
        self._open.enter_context(self._tape)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._open.__exit__(kind, value, traceback)
        if kind is not None:
            return
        if isinstance(self.model, DecorrelationStep):
            self.model.decorrelate(self._samples)
            return
        for layer, samples in self._samples.flush():
            layer.update(samples)

    def watch(self, tensor: Tensors) -> None:
        """Watches a tensor, as in `tf.GradientTape`."""
        self._tape.watch(_values(tensor))

    def stop_recording(self) -> Any:
        """Stops recording for a block, as in `tf.GradientTape`."""
        return self._tape.stop_recording()

    def watched_variables(self) -> Sequence[Any]:
        """Returns the watched variables, as in `tf.GradientTape`."""
        return list(self._tape.watched_variables())

    def _gradient(
        self,
        target: Tensors,
        sources: Tensors,
        output_gradients: Tensors,
        unconnected_gradients: str,
    ) -> Tensors:
        import tensorflow as tf

        return self._tape.gradient(
            target,
            _values(sources),
            output_gradients,
            tf.UnconnectedGradients(unconnected_gradients),
        )


def _values(tree: Tensors) -> Tensors:
    """Replaces the Keras variables of a structure by TensorFlow variables."""
    return keras.tree.map_structure(lambda x: x.value if isinstance(x, keras.Variable) else x, tree)
