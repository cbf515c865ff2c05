"""The base class of the rules with lateral inhibition: M is the inverse of lateral weights."""

from typing import Any

import numpy as np
from keras import ops

from keras_decorr.decorrelators.arguments import check_count, check_number
from keras_decorr.decorrelators.decorrelator import LEARNING_RATE, Decorrelator
from keras_decorr.decorrelators.structures import Product, Stage
from keras_decorr.maths.lateral import fixed_point, unsettled
from keras_decorr.typing import Tensor


class Settling(Product):
    """`M = L^-1` for weights `L`: the fixed point of `tau du/dt = z - L u`, in float32 or wider.

    Args:
        step_size: As in `maths.lateral.settle`.
        steps: As in `maths.lateral.settle`.
        tolerance: As in `maths.lateral.settle`.
    """

    def __init__(self, step_size: float | None, steps: int, tolerance: float) -> None:
        self._dynamics = {"step_size": step_size, "steps": steps, "tolerance": tolerance}
        self.passes = steps + 1

    def apply(self, M: Tensor, X: Tensor, row_axis: int) -> Tensor:
        return self._settle(M, X, row_axis, transposed=False)

    def fold(self, M: Tensor, K: Tensor) -> Tensor:
        # M^T K = L^-T K: the same dynamics, on the columns of the kernel, with L^T.
        return self._settle(M, K, row_axis=-1, transposed=True)

    def matrix(self, M: Tensor) -> Any:
        return np.linalg.pinv(M, rcond=1e-30)  # no plain inverse: the padding is zero

    def _settle(self, L: Tensor, X: Tensor, row_axis: int, transposed: bool) -> Tensor:
        given = X.dtype
        if "16" in str(given):  # half precision would never come to rest
            L, X = ops.cast(L, "float32"), ops.cast(X, "float32")
        U = fixed_point(L, X, row_axis, transposed, **self._dynamics)
        return ops.cast(U, given)


def inverse(M: Tensor) -> Tensor:
    """Returns `L = M^-1` of an M whose padding is zero, as that of `L` is."""
    eye = ops.eye(M.shape[-1], dtype=M.dtype)
    real = ops.expand_dims(ops.diagonal(M, axis1=-2, axis2=-1) != 0.0, -1)
    return ops.where(real, ops.linalg.inv(ops.where(real, M, eye)), 0.0)


class Lateral(Decorrelator):
    """Base class of the rules that learn lateral weights `L`, where `M = L^-1`.

    `matrices` of a layer hold `L`. The decorrelated inputs are where the activities come to rest:

        tau du/dt = z - L u,    u <- u + a (z - L u) with a = dt / tau, from u = z

    Args:
        learning_rate: As in `Decorrelator`.
        step_size: Euler's step `a`, positive. It must stay below `2 / l` for the largest eigenvalue `l`
            of `L`, which grows with learning. Default: `None`, for `1 / min(||L||_1, ||L||_inf)`,
            which does.
        steps: The most steps of the integration. Defaults to 100.
        tolerance: The activities are at rest when `||z - L u|| <= tolerance ||z||` for every row.
            Defaults to 1e-4. What is left of the error of `u` is up to `l_max / l_min` times that.
        **kwargs: As in `Decorrelator`.

    Raises:
        ValueError: If an argument is out of its range.
    """

    # A weight joins two units; a low-rank M has none for a pair of features.
    structures = tuple(name for name in Decorrelator.structures if name != "low_rank")
    reports = ("unsettled_updates",)

    def __init__(
        self,
        learning_rate: Any = LEARNING_RATE,
        step_size: float | None = None,
        steps: int = 100,
        tolerance: float = 1e-4,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        owner = type(self).__name__
        if step_size is not None:
            check_number(owner, "step_size", step_size, 0.0, open_low=True)
        self.step_size = step_size
        self.steps = check_count(owner, "steps", steps)
        self.tolerance = check_number(owner, "tolerance", tolerance, 0.0, 1.0, open_low=True)

    @property
    def product(self) -> Product:
        return Settling(self.step_size, self.steps, self.tolerance)

    def adapted_stage(self, stage: Stage, damping: float) -> tuple:
        (M,) = super().adapted_stage(stage, damping)
        return (inverse(M),)

    def report(self, stages: list[Stage]) -> dict:
        """Returns `unsettled_updates`: 1 if the activities of a stage were not at rest, else 0.

        Beside the sampled rows a column of signs is tried with `L^T`, as kernels and gradients are:
        unlike the inputs it lies in no direction in particular, so it settles last.
        """
        count = 0.0
        for stage in stages:
            L = stage.M
            signs = np.random.default_rng(0).choice([-1.0, 1.0], size=(L.shape[-1], 1))
            # Zero in the padding, where L is.
            diagonal = ops.expand_dims(ops.diagonal(L, axis1=-2, axis2=-1), -1)
            K = ops.cast(diagonal != 0.0, L.dtype) * ops.convert_to_tensor(signs, L.dtype)
            V = self.product.fold(L, K)
            # Twice the tolerance: the residual is computed anew, and rounded otherwise.
            most = 2 * self.tolerance
            moves = ops.logical_or(
                unsettled(L, stage.Z, stage.U, most, stage.row_axis),
                unsettled(L, K, V, most, transposed=True),
            )
            count = ops.maximum(count, ops.cast(moves, "float32"))
        return {"unsettled_updates": count}

    def step_cost(self, k: int, m: int) -> int:
        # The rule; the check of the sampled rows and of one column.
        return 2 * k * m**2 + (self.steps + 2) * m**2

    def get_config(self) -> dict[str, Any]:
        own = {"step_size": self.step_size, "steps": self.steps, "tolerance": self.tolerance}
        return {**own, **super().get_config()}
