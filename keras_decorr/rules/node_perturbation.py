"""Node perturbation: estimates the gradient from the effect of noise on the loss.

S. Dalm, M. van Gerven, N. Ahmad, "Effective Learning with Node Perturbation in Multi-Layer Neural
Networks", arXiv 2310.00965 (2023); decorrelated in N. Ahmad, arXiv 2407.10780 (2024).
"""

import math
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_decorr.backend.autodiff import derivative
from keras_decorr.context import wiring
from keras_decorr.context.wiring import Wiring
from keras_decorr.decorrelators.arguments import check_count, check_number
from keras_decorr.layers.call import call_in_training
from keras_decorr.maths.feedback import with_gradient
from keras_decorr.rules import graph
from keras_decorr.rules.learning_rule import LearningRule
from keras_decorr.rules.noise import Noise, NoiseState
from keras_decorr.rules.per_sample import check_loss, contributions
from keras_decorr.rules.seeds import check_seed
from keras_decorr.rules.state import RuleState
from keras_decorr.typing import Tensor, Tensors

SIGMA, SIGMA_IN_HALF_PRECISION = 1e-4, 3e-3
ESTIMATORS = ("finite_difference", "directional_derivative", "activity")


@keras.saving.register_keras_serializable(package="keras_decorr")
class NodePerturbation(LearningRule):
    """Adds noise to the pre-activations `a` of every linear map and learns from the change of the loss.

    With noise `xi ~ N(0, sigma^2)` and the loss `L` of a sample, its estimate of `dL/da` is

    - `"finite_difference"`: `(L(a + xi) - L(a)) / sigma^2 xi`;
    - `"directional_derivative"`: the limit of it for `sigma -> 0`, by forward-mode differentiation;
      `sigma` does not matter;
    - `"activity"`: `N (L(a + xi) - L(a)) da / |da|^2` with `da` the whole change of the
      pre-activations, that which comes from the layers before included, and `N` their number. It
      needs no access to the noise itself. In expectation it is the gradient plus the part of the
      earlier layers' that their noise carries along, so it is biased for all layers but the first.

    Then `dW = u^T dL/da` and `db = sum dL/da`, as ever. The mean by which a layer centres is that of
    the clean pass. The first two are unbiased (up to `sigma^2`), with a variance that grows with the
    number of units.

    The noise is taken from one table of normal numbers, at a random place for every layer and step
    (see `rules/noise.py`): a step then costs what one of backpropagation does.

    Args:
        sigma: Standard deviation of the noise, positive. Default: 1e-4, or 3e-3 in a model that
            computes in half precision. There the error of the finite difference, which is rounding
            below and curvature above, is near its least (`benchmarks/sigma.py`): 2 to 3 % and 20 %.
        n_samples: Perturbations averaged per step, each one more forward pass. Defaults to 1.
        estimator: One of the above. Defaults to `"finite_difference"`.
        seed: Seed of the noise. Defaults to one drawn from Keras's global seed.

    Raises:
        ValueError: If an argument is out of its range; at `compile`, if the loss is not per sample or
            a layer cannot be served: one with other weights, or one that draws at random.

    Example:

    >>> import keras, keras_decorr
    >>> model = keras_decorr.Sequential([
    ...     keras.Input((64,)),
    ...     keras_decorr.layers.DecorDense(32, activation="relu"),
    ...     keras_decorr.layers.DecorDense(10, activation="softmax")])
    >>> model.compile("adam", "sparse_categorical_crossentropy", learning_rule="node_perturbation")
    """

    name = "node_perturbation"

    def __init__(
        self,
        sigma: float | None = None,
        n_samples: int = 1,
        estimator: str = "finite_difference",
        seed: int | None = None,
    ) -> None:
        if sigma is not None:
            check_number("NodePerturbation", "sigma", sigma, 0.0, open_low=True)
        self.sigma = sigma
        self.n_samples = check_count("NodePerturbation", "n_samples", n_samples)
        if estimator not in ESTIMATORS:
            raise ValueError(
                f"Argument `estimator` of NodePerturbation must be one of {list(ESTIMATORS)}. "
                f"Received: {estimator!r}"
            )
        self.estimator = estimator
        self.seed = check_seed("NodePerturbation", seed)

    def check(self, model: keras.Model) -> None:
        graph.check_layers(model, self.name, local=())
        graph.check_every_pass_is_the_same(model, self.name)
        check_loss(model, self.name)

    def build(self, model: keras.Model) -> RuleState:
        self.check(model)
        return NoiseState(self.seed, graph.widest_map(model))

    def wires(self, model: keras.Model) -> Wiring:
        return CleanWiring()

    def compute_loss(
        self,
        model: keras.Model,
        loss_of: Callable[[Tensors], Tensor],
        x: Tensors,
        y: Tensors,
        y_pred: Tensors,
        sample_weight: Tensors,
    ) -> Tensor:
        clean, state = wiring.current(), model.learning_rule_state
        loss = ops.stop_gradient(loss_of(y_pred))
        local = sum(model.losses, ops.zeros(()))  # regularisers keep their gradient

        def loss_with(wires: Wiring) -> Tensor:
            with wiring.opened(wires):
                outputs = call_in_training(model, x)
            return contributions(model, y, outputs, sample_weight, self.name)

        before = ops.stop_gradient(contributions(model, y, y_pred, sample_weight, self.name))
        estimate = ops.zeros(())
        seed, sigma = state.next_seed(), self.sigma_of(model)
        for sample in range(self.n_samples):
            noise = Noise(state, seed, sample)
            estimate += self._estimate(clean, noise, sigma, before, loss_with)
        estimate = estimate / self.n_samples
        return loss + estimate + local - ops.stop_gradient(local)

    def sigma_of(self, model: keras.Model) -> float:
        """Returns the standard deviation of the noise for a model."""
        half = any("16" in layer.compute_dtype for layer in graph.linear_maps(model))
        return self.sigma or (SIGMA_IN_HALF_PRECISION if half else SIGMA)

    def _estimate(
        self,
        clean: "CleanWiring",
        noise: Noise,
        sigma: float,
        before: Tensor,
        loss_with: Callable[["NoisyWiring"], Tensor],
    ) -> Tensor:
        """Returns a scalar 0 whose gradient by the clean pre-activations is the estimate."""
        if self.estimator == "directional_derivative":
            _, slope = derivative(lambda size: loss_with(NoisyWiring(clean, noise, size)))
            changes, factor = noise.drawn, slope
        else:
            wires = NoisyWiring(clean, noise, sigma)
            change = loss_with(wires) - before
            if self.estimator == "finite_difference":
                changes, factor = noise.drawn, change / sigma
            else:
                changes = [b - a for a, b in zip(clean.a, wires.a, strict=True)]
                squares = sum(dot(c, c) for c in changes)
                count = sum(math.prod(a.shape[1:]) for a in clean.a)
                factor = count * change / ops.maximum(squares, 1e-30)
        return sum(
            with_gradient(a, per_row(factor, a) * ops.cast(change, "float32"))
            for a, change in zip(clean.a, changes, strict=True)
        )

    def get_config(self) -> dict[str, Any]:
        return {
            "sigma": self.sigma,
            "n_samples": self.n_samples,
            "estimator": self.estimator,
            "seed": self.seed,
        }


class CleanWiring(Wiring):
    """Cuts the gradient before every linear map, and keeps what the noisy passes need."""

    def __init__(self) -> None:
        self.a: list[Tensor] = []
        self.means: list[Tensor] = []

    def inputs(self, layer: Any, x: Tensors) -> Tensor:
        return ops.stop_gradient(x)

    def mean(self, layer: Any, batch_mean: Callable[[], Tensor]) -> Tensor:
        self.means.append(batch_mean())
        return self.means[-1]

    def pre_activation(self, layer: Any, a: Tensor) -> Tensor:
        self.a.append(a)
        return a


class NoisyWiring(Wiring):
    """Adds noise, and centres as the clean pass did."""

    def __init__(self, clean: "CleanWiring", noise: Noise, size: Any) -> None:
        self.a: list[Tensor] = []
        self._means = iter(clean.means)
        self._noise, self._size = noise, size

    def mean(self, layer: Any, batch_mean: Callable[[], Tensor]) -> Tensor:
        return next(self._means)

    def pre_activation(self, layer: Any, a: Tensor) -> Tensor:
        xi = self._noise.of(len(self.a), a)
        self.a.append(a + ops.cast(self._size, a.dtype) * xi)
        return self.a[-1]


def per_row(factor: Tensor, a: Tensor) -> Tensor:
    """Reshapes factors `(batch,)` to multiply a tensor `(batch, ...)` like `a` by."""
    return ops.reshape(factor, (-1, *[1] * (len(a.shape) - 1)))


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Computes the inner products of two tensors for each sample, `(batch,)`, in float32."""
    product = ops.cast(a, "float32") * ops.cast(b, "float32")
    return ops.sum(product, axis=tuple(range(1, len(a.shape))))
