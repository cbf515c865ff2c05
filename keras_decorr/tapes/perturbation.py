"""Adds the noise of `NodePerturbationTape` and estimates the gradient from it."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras
from keras import ops

from keras_decorr.context.wiring import Wiring
from keras_decorr.rules.node_perturbation import NodePerturbation
from keras_decorr.rules.noise import Noise
from keras_decorr.typing import Tensor


class Perturbation(Wiring):
    """Adds noise to the pre-activations of a model, in a batch of several equal blocks.

    The gradient tape sees the way from the weights to each pre-activation and no further; a forward
    accumulator sees all.

    Args:
        layers: The layers of the model; others are let be.
        noises: A `Noise` for each perturbation.
        size: Factor on the noise.
        blocks: The parts of the batch: one for each noise, or one without noise before.
        paused: Context in which the gradient tape does not record.
    """

    def __init__(
        self,
        layers: Iterable[keras.layers.Layer],
        noises: Sequence[Noise],
        size: Tensor,
        blocks: int,
        paused: Callable[[], Any],
    ) -> None:
        self._layers = {id(layer) for layer in layers}
        self._noises, self._size, self._blocks, self._paused = noises, size, blocks, paused
        self.recorded: list[Tensor] = []
        self._a: list[Tensor] = []
        self.tiled = False

    def mean(self, layer: keras.layers.Layer, batch_mean: Callable[[], Tensor]) -> Tensor:
        return ops.stop_gradient(batch_mean())  # in both passes that of the clean one

    def sampled(self, layer: keras.layers.Layer, x: Tensor) -> Tensor:
        return self._parts(x)[0] if id(layer) in self._layers else x

    def pre_activation(self, layer: keras.layers.Layer, a: Tensor) -> Tensor:
        import tensorflow as tf

        if id(layer) not in self._layers:
            return a
        clean, call = self._parts(a)[0], len(self.recorded)
        self.recorded.append(a)
        with self._paused():
            a = tf.identity(a)
        xi = [noise.of(call, clean) for noise in self._noises]
        if self._blocks > len(xi):
            xi = [ops.zeros_like(clean), *xi]
        self._a.append(a + ops.cast(self._size, a.dtype) * self._joined(xi))
        return self._a[-1]

    def estimates(self, parts: Sequence[Tensor], rule: NodePerturbation) -> list[Tensor]:
        """Estimates the gradient of the loss with respect to each recorded pre-activation.

        Args:
            parts: `(batch,)` float32 contributions of the samples to the loss, for each block; for the
                directional derivative their slopes along the noise.
            rule: The `NodePerturbation`.
        """
        batch = ops.shape(parts[0])[0]

        def flat(a: Tensor) -> Tensor:
            return ops.reshape(ops.cast(a, "float32"), (batch, -1))

        if rule.estimator == "activity":
            blocks = [[flat(part) for part in self._parts(a)] for a in self._a]
            changes = [[noisy - clean for noisy in rest] for clean, *rest in blocks]
        else:
            calls = range(len(self.recorded))
            changes = [[flat(noise.drawn[call]) for noise in self._noises] for call in calls]
        if rule.estimator == "directional_derivative":
            factors = parts
        elif rule.estimator == "finite_difference":
            factors = [(part - parts[0]) / self._size for part in parts[1:]]
        else:
            count = sum(ops.cast(ops.shape(layer[0])[1], "float32") for layer in changes)
            factors = []
            for sample, part in enumerate(parts[1:]):
                squares = sum(ops.sum(ops.square(c[sample]), axis=-1) for c in changes)
                factors.append(count * (part - parts[0]) / ops.maximum(squares, 1e-30))
        factors = [ops.expand_dims(factor, -1) / len(factors) for factor in factors]
        return [
            self._on_clean(sum(f * c for f, c in zip(factors, layer, strict=True)), a)
            for layer, a in zip(changes, self.recorded, strict=True)
        ]

    def _on_clean(self, estimate: Tensor, a: Tensor) -> Tensor:
        """Returns the estimate for the first block of `a`, and zeros for the others."""
        first, *rest = self._parts(a)
        estimate = ops.reshape(ops.cast(estimate, a.dtype), ops.shape(first))
        return self._joined([estimate, *(ops.zeros_like(part) for part in rest)])

    def _joined(self, parts: Sequence[Tensor]) -> Tensor:
        return parts[0] if len(parts) == 1 else ops.concatenate(parts)

    def _parts(self, x: Tensor) -> Sequence[Tensor]:
        if self._blocks == 1:
            return [x]
        if not self.tiled or (x.shape[0] or 0) % self._blocks:
            raise ValueError(
                "NodePerturbationTape compares clean and noisy samples of one batch here, and needs "
                f"{self._blocks} times the batch: write `model(tape.tile(x))` and "
                "`loss_fn(tape.tile(y), y_pred)`, or use the estimator 'directional_derivative' with "
                f"n_samples=1. Received: a tensor of shape {tuple(x.shape)}"
            )
        return list(ops.split(x, self._blocks))
