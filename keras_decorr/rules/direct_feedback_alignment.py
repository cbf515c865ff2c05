"""Direct feedback alignment: sends the output error straight to every hidden layer.

A. Nokland, "Direct Feedback Alignment Provides Learning in Deep Neural Networks", arXiv 1609.01596
(2016).
"""

import math
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_decorr.backend.keras_internals import nodes
from keras_decorr.backend.replicas import replica_sum
from keras_decorr.context import wiring
from keras_decorr.context.wiring import Wiring
from keras_decorr.maths.feedback import send_error
from keras_decorr.rules import graph
from keras_decorr.rules.feedback import FeedbackWeights
from keras_decorr.rules.learning_rule import LearningRule
from keras_decorr.rules.state import RuleState
from keras_decorr.typing import Tensor, Tensors


@keras.saving.register_keras_serializable(package="keras_decorr")
class DirectFeedbackAlignment(LearningRule):
    """Sends the output error `e` to the inputs `x` of every linear map: `dx = e B^T`.

    `e = dL/da` at the pre-activation `a` of the output, and each linear map but the first has a `B` of
    its own. So what lies between two linear maps (activation, pooling, flattening, normalisation,
    dropout) gets the error at its output and keeps its own gradient, and nothing travels back through
    a linear map. Where outputs of a linear map go to several others (branches, skips), it gets the sum
    of what reaches these; where they go to the output itself, the error too. So do the projections of
    attention: the error reaches the tokens before each of them, by a `B` for all tokens of a sample.

    Args:
        feedback_initializer: Keras initializer of `B`, of shape `(n, m)` for `n` inputs and `m` outputs
            a sample. Defaults to `"he_uniform"`.
        feedback_scale: Positive factor on it. Defaults to 1.
        seed: Seed of `B`. Defaults to one drawn from Keras's global seed.

    Raises:
        ValueError: If an argument is out of its range; at `compile`, if a layer cannot be served or
            has inputs or outputs of unknown size.

    Example:

    >>> import keras, keras_decorr
    >>> model = keras_decorr.Sequential([
    ...     keras.Input((64,)),
    ...     keras_decorr.layers.DecorDense(32, activation="relu"),
    ...     keras_decorr.layers.DecorDense(10, activation="softmax")])
    >>> model.compile("adam", "sparse_categorical_crossentropy",
    ...               learning_rule="direct_feedback_alignment")
    """

    def __init__(
        self,
        feedback_initializer: Any = "he_uniform",
        feedback_scale: float = 1.0,
        seed: int | None = None,
    ) -> None:
        self.weights = FeedbackWeights(
            "DirectFeedbackAlignment", feedback_initializer, feedback_scale, seed
        )

    def check(self, model: keras.Model) -> None:
        graph.check_layers(model, "direct_feedback_alignment")
        waits = isinstance(model, keras.Sequential) and not model.built
        if graph.operations(model) is None and not waits:
            raise ValueError(
                "The learning rule 'direct_feedback_alignment' must know the sizes of all layers, so "
                "it needs a Sequential or Functional model. "
                f"Received: {model.name!r} ({type(model).__name__})"
            )

    def build(self, model: keras.Model) -> RuleState:
        self.check(model)
        state, first = RuleState(), graph.first_maps(model)
        initializers = self.weights.initializers()
        sizes = [_size(x.shape, f"output {i}") for i, x in enumerate(model.outputs)]
        for layer in graph.linear_maps(model):
            if id(layer) in first:
                continue
            n = {_size(shape, f"input of {layer.name!r}") for shape in _input_shapes(layer)}
            if len(n) > 1:
                raise ValueError(
                    "The learning rule 'direct_feedback_alignment' needs inputs of one size in every "
                    f"call of a layer. Received: {sorted(n)} values in {layer.path!r}"
                )
            for i, m in enumerate(sizes):
                state.add(layer, i, (*n, m), next(initializers))
        return state

    def wires(self, model: keras.Model) -> Wiring:
        return _DirectWiring(model.learning_rule_state)

    def compute_loss(
        self,
        model: keras.Model,
        loss_of: Callable[[Tensors], Tensor],
        x: Tensors,
        y: Tensors,
        y_pred: Tensors,
        sample_weight: Tensors,
    ) -> Tensor:
        wires = wiring.current()
        predicted = keras.tree.flatten(y_pred)
        sent = [
            wires.with_error(i, graph.output_chain(tensor), value)
            for i, (tensor, value) in enumerate(zip(model.outputs, predicted, strict=True))
        ]
        return loss_of(keras.tree.pack_sequence_as(y_pred, sent))

    def get_config(self) -> dict[str, Any]:
        return self.weights.get_config()


class _DirectWiring(Wiring):
    def __init__(self, state: RuleState) -> None:
        self.state = state
        self.received: list[tuple[Any, Tensor]] = []
        self.made: dict[int, Tensor] = {}

    def inputs(self, layer: Any, x: Tensor) -> Tensor:
        if self.state.of(layer, 0) is None:
            return x
        heard = x
        if layer.decorrelation is not None and layer.decorrelator.center:
            # As the gradient does: what centring takes away again must not be asked for.
            channel = -1 if getattr(layer, "data_format", "") != "channels_first" else 1
            axes = [axis for axis in range(len(x.shape)) if axis != channel % len(x.shape)]
            rows = replica_sum(ops.cast(ops.size(x) // x.shape[channel], "float32"))
            mean = replica_sum(ops.sum(x, axis=axes, keepdims=True)) / ops.cast(
                ops.maximum(rows, 1.0), x.dtype
            )
            heard = x - mean
        self.received.append((layer, heard))
        return ops.stop_gradient(x)

    def output(self, layer: Any, a: Tensor, y: Tensors) -> None:
        self.made[id(layer)] = a

    def with_error(self, i: int, chain: list[Any] | None, value: Any) -> Tensor:
        """Recomputes output `i` so that its error reaches all inputs that were received."""
        layers = [layer for layer, _ in self.received]
        xs = [x for _, x in self.received]

        def sent(a: Tensor) -> Tensor:
            Bs = [ops.cast(self.state.of(layer, i), x.dtype) for layer, x in self.received]
            return send_error(a, xs, Bs) if layers else a

        if chain is None:
            return sent(value)
        layer, *after = chain
        y = sent(self.made[id(layer)])
        for function in (layer.activation, *after):
            y = y if function is None else function(y)
        return y


def _input_shapes(layer: Any) -> list[Any]:
    """Returns the shapes of the inputs in every call; of a layer inside another, when it was built."""
    shapes = [tensor.shape for node in nodes(layer) for tensor in node.input_tensors]
    return shapes or [layer.served_shape]


def _size(shape: Any, name: str) -> int:
    if None in shape[1:]:
        raise ValueError(
            "The learning rule 'direct_feedback_alignment' must know the sizes of all layers. "
            f"Received: shape={tuple(shape)} of {name}"
        )
    return math.prod(shape[1:])
