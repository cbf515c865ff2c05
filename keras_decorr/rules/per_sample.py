"""Computes the compiled loss for each sample."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_decorr.backend.keras_internals import compiled_losses, sample_weights
from keras_decorr.backend.replicas import replica_count
from keras_decorr.typing import Tensor, Tensors

_REDUCTIONS = ("sum_over_batch_size", "mean", "sum", "mean_with_sample_weight")


def check_loss(model: keras.Model, rule: str) -> None:
    """Raises an error for a compiled loss that has no value for each sample.

    Raises:
        ValueError: Names the loss.
    """
    if model.loss is None:
        raise ValueError(
            f"The learning rule {rule!r} needs a `loss` in `compile`: it compares the loss of every "
            "sample with and without noise. Received: loss=None"
        )
    for loss in keras.tree.flatten(model.loss):
        loss = keras.losses.get(loss)
        reduction = getattr(loss, "reduction", "sum_over_batch_size")
        if reduction not in _REDUCTIONS:
            raise ValueError(
                f"The learning rule {rule!r} needs a loss with one of the reductions "
                f"{list(_REDUCTIONS)}. Received: reduction={reduction!r} of {loss!r}"
            )
        outputs = getattr(model, "outputs", None)
        if outputs and not keras.tree.is_nested(model.loss) and len(outputs) == 1:
            _check_shape(loss, outputs[0], rule)


def _check_shape(loss: Any, output: Any, rule: str) -> None:
    batch = 3
    shape = (batch, *(size or 1 for size in output.shape[1:]))
    predicted = keras.KerasTensor(shape, output.dtype)
    function = getattr(loss, "call", loss)
    for target, dtype in (
        (shape, output.dtype),
        (shape[:-1], "int32"),
        ((*shape[:-1], 1), "int32"),
    ):
        try:
            values = _Function(function).compute_output_spec(
                keras.KerasTensor(target, dtype), predicted
            )
        except Exception:  # other targets are its own; the first step will tell
            continue
        if len(values.shape) == 0 or values.shape[0] != batch:
            raise _scalar(loss, values.shape, rule)
        return


class _Function(keras.Operation):
    """A function of tensors as a Keras operation, which tells the shape of its result."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.call = function


def _scalar(loss: Any, shape: Any, rule: str) -> ValueError:
    return ValueError(
        f"The learning rule {rule!r} needs a loss with a value for every sample, of shape "
        "(batch, ...). Return the values, and leave their mean to Keras. "
        f"Received: a loss of shape {tuple(shape)} from {loss!r}"
    )


def contributions(
    model: keras.Model, y: Tensors, y_pred: Tensors, sample_weight: Tensors, rule: str
) -> Tensor:
    """Computes what each sample adds to the compiled loss: `(batch,)`, float32; their sum is the loss.

    Args:
        model: A compiled model whose loss was computed before.
        y: Targets.
        y_pred: Outputs.
        sample_weight: Weights like the targets, or `None`.
        rule: Name of the rule, for messages.
    """
    total = 0.0
    for path, loss, weight, _name in compiled_losses(model):
        target, predicted, weights = (_at(path, value) for value in (y, y_pred, sample_weight))
        total = total + _weighted(loss, target, predicted, weights, rule) * (
            1.0 if weight is None else weight
        )
    return total


def _at(path: tuple[Any, ...], value: Any) -> Any:
    for key in path:
        value = value[key] if keras.tree.is_nested(value) else value
    return value


def _weighted(loss: Any, target: Any, predicted: Any, weights: Any, rule: str) -> Tensor:
    outputs = ops.convert_to_tensor(predicted, dtype=loss.dtype)
    values = loss.call(ops.convert_to_tensor(target, dtype=loss.dtype), outputs)
    if len(values.shape) == 0:
        raise _scalar(loss, values.shape, rule)
    values = ops.cast(values, "float32")
    divisor = ops.cast(ops.size(values), "float32")
    if weights is not None:
        weights = ops.cast(ops.convert_to_tensor(weights), "float32")
    values, weights = sample_weights(values, weights, predicted, loss.reduction)
    if weights is not None:
        values = values * weights
        if loss.reduction == "mean_with_sample_weight":
            divisor = ops.sum(weights)
    values = ops.sum(ops.reshape(values, (ops.shape(values)[0], -1)), axis=-1)
    if loss.reduction == "sum":
        return values
    return ops.divide_no_nan(values, divisor) / replica_count()
