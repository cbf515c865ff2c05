"""A low-rank M: `s I` and a full matrix `S` on the `r` strongest directions, `2 n r` weights.

Most of the correlation of natural inputs lies in a few directions. M treats these as a full matrix
does, and all others alike:

    M = s (I - V V^T) + V S V^T,    V: (n, r) with orthonormal columns

`S` is updated by the rule of the decorrelator on `t = V^T u`, and `s` by the same rule on one feature,
the root mean square of what is left of `u`: the rule's step, projected to this form. `V` follows the
principal subspace of the inputs, by E. Oja's subspace rule ("Neural networks, principal components, and
subspaces", Int. J. Neural Systems 1, 1989) on the sampled rows.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_decorr.decorrelators.arguments import check_count
from keras_decorr.decorrelators.structures.structure import Stage, Structure
from keras_decorr.maths.correlation import mean_outer_product, squared_norms, transpose
from keras_decorr.maths.subspace import oja_step
from keras_decorr.typing import Tensor

USUAL_RANK = 32


@keras.saving.register_keras_serializable(package="keras_decorr")
class LowRank(Structure):
    """Identity plus rank `r`: removes the correlations of the strongest directions.

    Args:
        rank: The rank `r`. Default: 32, or a fourth of the features where that is less.

    Raises:
        ValueError: If the rank is not a positive integer, or above the number of features.

    Example:

    >>> from keras_decorr.decorrelators.structures import LowRank
    >>> LowRank(rank=32).for_features(1000).weights
    33025
    """

    name = "low_rank"
    tracked = 1
    r: int

    def __init__(self, rank: int | None = None) -> None:
        self.rank = None if rank is None else check_count(type(self).__name__, "rank", rank)

    def set_sizes(self) -> None:
        if self.rank is not None and self.rank > self.n:
            raise ValueError(
                f"Argument `rank` of LowRank must be at most the number of features, {self.n} here. "
                f"Lower it, or use structure='full' for this layer. Received: rank={self.rank}"
            )
        self.r = self.rank or min(USUAL_RANK, max(self.n // 4, 1))

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        return [(self.n, self.r), (self.r, self.r), (1, 1)]

    def identities(self) -> list[np.ndarray]:
        # Any V will do to start with: M is the identity as long as S is.
        gaussian = np.random.default_rng(self.n).normal(size=(self.n, self.r))
        return [
            np.linalg.qr(gaussian)[0].astype("float32"),
            np.eye(self.r, dtype="float32"),
            np.eye(1, dtype="float32"),
        ]

    def run(self, matrices: Sequence, Z: Tensor) -> list[tuple]:
        V, S, s = matrices
        change = S - s * ops.eye(self.r, dtype=S.dtype)
        T = ops.matmul(ops.matmul(Z, V), transpose(change))
        return [(Z, s * Z + ops.matmul(T, transpose(V)))]

    def join(self, U: Tensor) -> Tensor:
        return U

    def fold(self, matrices: Sequence, K: Tensor) -> Tensor:
        V, S, s = matrices
        change = S - s * ops.eye(self.r, dtype=S.dtype)
        T = ops.matmul(transpose(change), ops.matmul(transpose(V), K))
        return s * K + ops.matmul(V, T)

    def stages(self, matrices: Sequence, Z: Tensor, raw2: Tensor) -> tuple[list[Stage], Tensor]:
        V, S, s = matrices
        ((_, U),) = self.run(matrices, Z)
        before, after = squared_norms(Z), squared_norms(U)

        def parts(X: Tensor, x2: Tensor) -> tuple[Tensor, Tensor]:
            """Returns the coordinates of rows along V, and the root mean square of the rest."""
            T = ops.matmul(X, V)
            left = ops.maximum(x2 - ops.sum(ops.square(T), axis=-1), 0.0)
            return T, ops.expand_dims(ops.sqrt(left / max(self.n - self.r, 1)), -1)

        inputs, outputs = parts(Z, before), parts(U, after)
        stages = [
            Stage(M, inputs[i], outputs[i], before, after, raw2, self.row_axis)
            for i, M in enumerate((S, s))
        ]
        return stages, U

    def track(self, matrices: Sequence, Z: Tensor, eta: Tensor) -> list:
        V = matrices[0]
        return [ops.where(eta > 0.0, oja_step(V, Z), V)]

    def principal(self, Z: Tensor) -> list:
        # The strongest directions come last.
        return [ops.linalg.eigh(mean_outer_product(Z, Z))[1][:, -self.r :]]

    def singular_range(self, matrices: Sequence) -> tuple[float, float]:
        _, S, s = matrices
        values = np.linalg.svd(S, compute_uv=False)
        if self.r < self.n:
            values = np.append(values, abs(s))
        return float(values.max()), float(values.min())

    @property
    def row_cost(self) -> int:
        return 2 * self.n * self.r + self.r**2

    def update_cost(self, k: int, step_cost: Callable[[int, int], int]) -> int:
        n, r = self.n, self.r
        return 3 * k * n * r + 4 * n * r**2 + step_cost(k, r)

    def get_config(self) -> dict[str, Any]:
        return {"rank": self.rank}
