"""A low-rank M: `s I` and a full matrix `S` on the `r` strongest directions, `2 n r` weights.

Most of the correlation of natural inputs lies in a few directions. M treats these as a full matrix
does, and all others alike:

    M = s (I - V V^T) + V S V^T,    V: (n, r) with orthonormal columns

`S` moves by the rule of the decorrelator on `t = V^T u`, and `s` by the same rule on one feature, the
root mean square of what is left of `u`: the rule's step, projected to this form. `V` follows the
principal subspace of the inputs, by E. Oja's subspace rule ("Neural networks, principal components, and
subspaces", Int. J. Neural Systems 1, 1989) on the sampled rows.
"""

import numpy as np
from keras import ops

from keras_decorr.decorrelators.structures.structure import Structure
from keras_decorr.maths.correlation import transpose
from keras_decorr.maths.subspace import oja_step

USUAL_RANK = 32


class LowRank(Structure):
    """Identity plus rank `r`: removes the correlations of the strongest directions.

    `groups` does not apply. The usual rank is 32, or a fourth of the features where that is less.

    Raises:
        ValueError: If the rank is above the number of features.

    Example:

    >>> from keras_decorr.decorrelators.structures import LowRank
    >>> LowRank(1000, rank=32).weights
    33025
    """

    def __init__(self, n, groups=32, rank=None, product=None):
        super().__init__(n, groups, rank, product)
        if rank is not None and rank > n:
            raise ValueError(
                f"Argument `rank` of a decorrelator must be at most the number of features, {n} here. "
                f"Lower it, or use structure='full' for this layer. Received: rank={rank}"
            )
        self.r = rank or min(USUAL_RANK, max(n // 4, 1))

    def identities(self):
        # Any V will do to start with: M is the identity as long as S is.
        gaussian = np.random.default_rng(self.n).normal(size=(self.n, self.r))
        return [
            np.linalg.qr(gaussian)[0].astype("float32"),
            np.eye(self.r, dtype="float32"),
            np.eye(1, dtype="float32"),
        ]

    def stages(self, matrices, Z):
        V, S, s = matrices
        change = S - s * ops.eye(self.r, dtype=S.dtype)
        T = ops.matmul(ops.matmul(Z, V), transpose(change))
        return [s * Z + ops.matmul(T, transpose(V))]

    def rows(self, U):
        return U

    def fold(self, matrices, K):
        V, S, s = matrices
        change = S - s * ops.eye(self.r, dtype=S.dtype)
        T = ops.matmul(transpose(change), ops.matmul(transpose(V), K))
        return s * K + ops.matmul(V, T)

    def moved(self, matrices, Z, stages, gains, eta, step):
        V, S, s = matrices
        (U,) = stages
        T = ops.matmul(U, V)
        left = ops.sum(ops.square(U), axis=-1) - ops.sum(ops.square(T), axis=-1)
        rest = ops.sqrt(ops.maximum(left, 0.0) / max(self.n - self.r, 1))
        return (
            ops.where(eta > 0.0, oja_step(V, Z()), V),
            step(0, S, T, gains[0], -2),
            step(0, s, ops.expand_dims(rest, -1), gains[0], -2),
        )

    def singular_range(self, matrices):
        _, S, s = matrices
        values = np.linalg.svd(S, compute_uv=False)
        if self.r < self.n:
            values = np.append(values, abs(s))
        return float(values.max()), float(values.min())

    @property
    def row_cost(self):
        return 2 * self.n * self.r + self.r**2

    def update_cost(self, k, step_cost):
        n, r = self.n, self.r
        return 3 * k * n * r + 2 * n * r**2 + step_cost(k, r)
