"""Products with the correlation matrix `C = U^T U / k` of sampled activations.

`C` costs `k n^2` to form and `C A` another `n^3`; `U^T (U A)` costs `2 k n^2` and never forms it.
Which is less depends on `k` against `n`, so every product here picks its own order.

`U` is `(..., k, m)`, or `(..., m, k)` with `row_axis=-1`: whoever made it chose the faster layout, and
a product takes either as it comes. `...` are groups of features.
"""

import math

from keras import ops

from keras_decorr.backend.devices import on_tensorflows_cpu
from keras_decorr.typing import Tensor

_LARGE = 96  # features and rows of a product; measured with 64 and 96 features, 256 rows
# Below this share of the root mean square of all features a feature is rounding error alone.
_ROUNDING = 1e-5


def transpose(A: Tensor) -> Tensor:
    """Transposes the last two axes."""
    return ops.swapaxes(A, -1, -2)


def multiply(A: Tensor, U: Tensor, row_axis: int = -1, transposed: bool = False) -> Tensor:
    """Computes `A u`, or `A^T u`, for every row `u` of `U`.

    Args:
        A: `(..., m, m)`.
        U: `(..., m, k)`, or `(..., k, m)` with `row_axis=-2`.
        row_axis: -1, or -2.
        transposed: Multiply by `A^T`.
    """

    def product(A: Tensor, U: Tensor) -> Tensor:
        if row_axis == -1:
            return ops.matmul(transpose(A) if transposed else A, U)
        return ops.matmul(U, A if transposed else transpose(A))

    if _better_one_by_one(A, U):
        pairs = zip(ops.unstack(A), ops.unstack(U), strict=True)
        return ops.stack([product(a, u) for a, u in pairs])
    return product(A, U)


def _better_one_by_one(A: Tensor, U: Tensor) -> bool:
    # TensorFlow's batched product runs at a third of the speed of a single one on a CPU, where the
    # matrices are large enough to be worth a node of the graph each.
    if not on_tensorflows_cpu() or len(A.shape) != 3:
        return False
    return min(s or _LARGE for s in (*A.shape[1:], *U.shape[1:])) >= _LARGE


def squared_norms(U: Tensor, row_axis: int = -2) -> Tensor:
    """Computes `||u_k||^2` of rows whose features lie in groups.

    Args:
        U: `(..., k, m)`, or `(..., m, k)`.
        row_axis: -2, or -1.

    Returns:
        `(k,)`.
    """
    axes = (*range(len(U.shape) - 2), -3 - row_axis)
    return ops.sum(ops.square(U), axis=axes)


def active_features(energy: Tensor) -> Tensor:
    """Returns 1.0 for features that vary, 0.0 for those below the rounding error of the others.

    A feature that is constant in the rows, such as a pixel of the border or a unit that is never
    active, is zero once it is centred. No correlation ever takes its row of M back, so a factor for all
    rows would make it grow without end.

    Args:
        energy: `(..., n)` mean or sum over the rows of each feature's square.

    Returns:
        `(..., n)`.
    """
    return ops.cast(energy > _ROUNDING**2 * ops.mean(energy), energy.dtype)


def row_count(U: Tensor, row_axis: int = -2) -> Tensor:
    """Returns `k` of `U` as a scalar of its type; 1 for no rows, whose sums are 0."""
    return ops.maximum(ops.cast(ops.shape(U)[row_axis], U.dtype), 1.0)


def mean_square(U: Tensor, row_axis: int = -2) -> Tensor:
    """Returns the mean over the rows of each feature's square, the diagonal of C: `(..., m)`."""
    return ops.sum(ops.square(U), axis=row_axis) / row_count(U, row_axis)


def mean_outer_product(A: Tensor, B: Tensor, row_axis: int = -2) -> Tensor:
    """Computes `A^T B / k`, the mean of `a b^T` over the rows.

    Args:
        A: `(..., k, m)`, or `(..., m, k)`.
        B: Laid out as `A`.
        row_axis: -2, or -1.

    Returns:
        `(..., m, m)`.
    """
    left, right = (A, transpose(B)) if row_axis == -1 else (transpose(A), B)
    return ops.matmul(left, right) / row_count(A, row_axis)


class Correlation:
    """The correlation matrix `C = U^T U / k` of rows, formed where its two factors cost more.

    Args:
        U: `(..., k, n)`, or `(..., n, k)`.
        rows: The number of rows `k` to expect where it is not known when the function is traced.
            Only the speed depends on it.
        row_axis: -2, or -1.
        added: `(..., n, n)` matrix to add to `C`, which is formed then, or `None` for none.
    """

    def __init__(
        self,
        U: Tensor,
        rows: int | None = None,
        row_axis: int = -2,
        added: Tensor | None = None,
    ) -> None:
        # Nothing stands between a transpose and its product: TensorFlow then makes one of the two.
        self._UT, self._U = (transpose(U), U) if row_axis == -2 else (U, transpose(U))
        self._k = row_count(U, row_axis)
        many = (self._U.shape[-2] or rows or 0) > self._U.shape[-1]  # k n^2 + n^3 < 2 k n^2
        self._formed = many or added is not None
        if self._formed:
            C = ops.matmul(self._UT, self._U) / self._k
            self._C = C if added is None else C + added

    def product(self, scale: Tensor, A: Tensor) -> Tensor:
        """Computes `scale C A`, `(..., n, n)`; the scalars `scale` meet the smallest product."""
        if self._formed:
            return ops.matmul(scale * self._C, A)
        return ops.matmul(self._UT, scale / self._k * ops.matmul(self._U, A))

    def squared_norm(self) -> Tensor:
        """Computes `||C||_F^2`, `(..., 1, 1)`: without `C` that of `U U^T / k`, which is as large."""
        G = self._C if self._formed else ops.matmul(self._U, self._UT) / self._k
        return ops.sum(ops.square(G), axis=(-2, -1), keepdims=True)

    def stable_rate(self, eta: Tensor) -> Tensor:
        """Returns `min(eta, 0.95 / ||C||_F)`, with which no step `I - eta C` overshoots.

        The largest eigenvalue of `C` is at most `||C||_F`, so every eigenvalue of `I - eta C` is at
        least 0.05, whatever the size of the inputs. With 0 as the bound a sample of a single direction
        would take that away to the rounding error, which the gain amplifies.

        Returns:
            `(..., 1, 1)`: the rate of each matrix.
        """
        return ops.minimum(eta, 0.95 / ops.sqrt(ops.maximum(self.squared_norm(), 1e-30)))


def off_diagonal_energy(
    U: Tensor, rows: int | None = None, row_axis: int = -2, joint: bool = True
) -> Tensor:
    """Computes the sum of the squared off-diagonal elements of `C = U^T U / k`.

    `||U^T U||_F = ||U U^T||_F`, so the smaller of the two Gram matrices is formed.

    Args:
        U: `(..., k, m)`, or `(..., m, k)`; the features of all groups count as one vector of `n`.
        rows: As in `Correlation`.
        row_axis: -2, or -1.
        joint: With False each group has a `C` of its own, and what is between groups does not count.

    Returns:
        A scalar.
    """
    squares = mean_square(U, row_axis)
    if joint and len(U.shape) > 2:
        U = ops.moveaxis(U, row_axis, -1)
        U, row_axis = ops.reshape(U, (math.prod(U.shape[:-1]), -1)), -1
    norms = Correlation(U, rows, row_axis).squared_norm()
    energy = ops.sum(norms) - ops.sum(ops.square(squares))
    return ops.maximum(energy, 0.0)  # rounding may leave a small negative number
