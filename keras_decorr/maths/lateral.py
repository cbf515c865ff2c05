"""Lateral dynamics: a layer of units that settle by inhibiting each other.

    tau du/dt = z - L u,    at rest u = L^-1 z

N. Ahmad, "Correlations Are Ruining Your Gradient Descent", arXiv 2407.10780 (2024); P. Foldiak,
"Forming sparse representations by local anti-Hebbian learning", Biological Cybernetics 64 (1990).
"""

from typing import Any

from keras import ops

from keras_decorr.backend.autodiff import implicit
from keras_decorr.maths.correlation import multiply, transpose
from keras_decorr.typing import Tensor


def largest_safe_step(L: Tensor) -> Tensor:
    """Computes a safe step size `a = dt / tau` for `L`: `1 / min(||L||_1, ||L||_inf)`.

    Euler's method shrinks the error along an eigenvector of `L` by `|1 - a l|` a step, so it needs
    `a < 2 / l` for the largest eigenvalue `l`. Any norm of `L` bounds `l`; this one is known from the
    sums of rows and columns, and it is the same for `L^T`.

    Args:
        L: `(..., m, m)`.

    Returns:
        `(..., 1, 1)`.
    """
    size = ops.abs(L)
    rows, columns = (ops.max(ops.sum(size, axis), axis=-1) for axis in (-1, -2))
    norm = ops.minimum(rows, columns)
    norm = ops.where(norm > 0.0, norm, 1.0)  # a group of padding alone
    return ops.expand_dims(ops.expand_dims(1.0 / norm, -1), -1)


def settle(
    L: Tensor,
    Z: Tensor,
    row_axis: int = -1,
    transposed: bool = False,
    step_size: float | None = None,
    steps: int = 100,
    tolerance: float = 1e-4,
) -> tuple[Tensor, Tensor]:
    """Integrates `tau du/dt = z - L u` by Euler's method from `u = z` until it has settled.

    It has settled when `||z - L u|| <= tolerance ||z||` for every row. The error falls as
    `max |1 - a l|^t` over the eigenvalues `l` of `L`, so with `a` about `1 / l_max` the number of steps
    is about `l_max / l_min` times `log(1 / tolerance)`.

    Args:
        L: `(..., m, m)`.
        Z: `(..., m, k)`, or `(..., k, m)` with `row_axis=-2`.
        row_axis: -1, or -2.
        transposed: Use `L^T` for `L`.
        step_size: `a = dt / tau`, or `None` for `largest_safe_step`.
        steps: The most steps.
        tolerance: Relative residual.

    Returns:
        `(U, count)`: the activities and the number of steps that were taken.
    """
    a = largest_safe_step(L) if step_size is None else step_size
    small = tolerance**2 * _squares(Z, row_axis)

    def residual(U: Tensor) -> Tensor:
        return Z - multiply(L, U, row_axis, transposed)

    def unsettled(count: Tensor, U: Tensor, R: Tensor) -> Tensor:
        return ops.any(_squares(R, row_axis) > small)  # False for NaN: nothing to wait for

    def step(count: Tensor, U: Tensor, R: Tensor) -> tuple:
        U = U + a * R
        return count + 1, U, residual(U)

    start = (ops.zeros((), "int32"), Z, residual(Z))
    count, U, _ = ops.while_loop(unsettled, step, start, maximum_iterations=steps)
    return U, count


def fixed_point(
    L: Tensor, Z: Tensor, row_axis: int = -1, transposed: bool = False, **dynamics: Any
) -> Tensor:
    """Computes `u = L^-1 z` by `settle`, with its gradients by implicit differentiation.

    With `e` the gradient of `u`: that of `z` is the fixed point `v` of `tau dv/dt = e - L^T v`, which
    the same dynamics find, and that of `L` is `-sum v u^T`. No step of the integration is remembered.

    Args:
        L: As in `settle`.
        Z: As in `settle`.
        row_axis: As in `settle`.
        transposed: As in `settle`.
        **dynamics: `step_size`, `steps` and `tolerance` of `settle`.

    Returns:
        `U`, of the shape of `Z`.
    """

    def product(L: Tensor, U: Tensor, flip: bool) -> Tensor:
        return multiply(L, U, row_axis, transposed != flip)

    def outer(V: Tensor, U: Tensor, flip: bool) -> Tensor:
        if transposed != flip:
            V, U = U, V
        return ops.matmul(V, transpose(U)) if row_axis == -1 else ops.matmul(transpose(V), U)

    def solve(L: Tensor, Z: Tensor, flip: bool) -> Tensor:
        return settle(L, Z, row_axis, transposed != flip, **dynamics)[0]

    return implicit(product, outer, solve, L, Z)


def unsettled(
    L: Tensor, Z: Tensor, U: Tensor, tolerance: float, row_axis: int = -1, transposed: bool = False
) -> Tensor:
    """Returns whether a row of `U` is not at rest, `||z - L u|| > tolerance ||z||`, or not finite.

    Rows of inputs that are not finite themselves do not count.

    Args:
        L: As in `settle`.
        Z: As in `settle`.
        U: Activities, of the shape of `Z`.
        tolerance: As in `settle`.
        row_axis: As in `settle`.
        transposed: As in `settle`.

    Returns:
        A boolean scalar.
    """
    z2 = _squares(Z, row_axis)
    r2 = _squares(Z - multiply(L, U, row_axis, transposed), row_axis)
    # Not `logical_not(r2 <= ...)`: TensorFlow makes `r2 > ...` of that, which is no for NaN as well.
    rests = ops.cast(r2 <= tolerance**2 * z2, "float32")
    return ops.any(ops.cast(ops.isfinite(z2), "float32") * (1.0 - rests) > 0.5)


def _squares(U: Tensor, row_axis: int) -> Tensor:
    return ops.sum(ops.square(U), axis=-3 - row_axis)
