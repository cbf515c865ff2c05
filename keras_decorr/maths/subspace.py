"""Tracks the principal subspace of a stream of samples.

E. Oja, "Neural networks, principal components, and subspaces", International Journal of Neural
Systems 1, 61-68 (1989).
"""

from keras import ops

from keras_decorr.typing import Tensor

# How far one step may go towards the samples' own subspace. Its inverse is about the number of steps
# over which they are averaged.
RATE = 0.3


def oja_step(V: Tensor, Z: Tensor, rate: float = RATE) -> Tensor:
    """Computes `V <- orth(V + a (I - V V^T) C V)` with `C = Z^T Z / k`, `a = rate / tr(C)`.

    The change is orthogonal to `V`, so the basis does not turn within its subspace, and as `a C` is
    below `rate` it is small. What it does to the lengths and angles of the columns is of second order;
    two Newton-Schulz iterations, `V (3 I - V^T V) / 2`, take it away, after a single row, too.

    Args:
        V: `(n, r)` with orthonormal columns.
        Z: `(k, n)` centred samples.
        rate: Number in (0, 1].

    Returns:
        The new `V`.
    """
    energy = ops.maximum(ops.sum(ops.square(Z)), ops.cast(1e-30, Z.dtype))  # k tr(C)
    Y = ops.matmul(ops.transpose(Z), ops.matmul(Z, V)) * (rate / energy)
    V = V + Y - ops.matmul(V, ops.matmul(ops.transpose(V), Y))
    for _ in range(2):
        V = 1.5 * V - 0.5 * ops.matmul(V, ops.matmul(ops.transpose(V), V))
    return V
