"""Block-diagonal maps, and the permutation between the two stages of a Monarch map.

T. Dao et al., "Monarch: Expressive Structured Matrices for Efficient and Accurate Training",
arXiv 2204.00595 (2022). Features are padded with zeros to `g m`, where no `g` divides `n`; the
identity of the padding is 0, not 1, so that the padding can never grow.
"""

import math

import numpy as np
from keras import ops

from keras_decorr.typing import Tensor


def choose_groups(n: int, groups: int, power: int = 1) -> tuple[int, int]:
    """Chooses a number of groups for `n` features: about `groups`, with little or no padding.

    Of the numbers from `groups` down to half of it, the one that needs the least padding, and of
    those the largest. At first `groups` is lowered where a group would hold fewer features than
    there are groups that take an equal share of it.

    Args:
        n: Number of features.
        groups: Number of groups asked for.
        power: 1 for one stage of groups, 2 for the two of a Monarch map.

    Returns:
        `(g, m)`: `g` groups of `m` features, `g m >= n`, `m` a multiple of `g ** (power - 1)`.
    """
    most = max(min(groups, int(n ** (1 / power) + 1e-9)), 1)

    def width(g: int) -> int:
        return -(-n // int(g**power)) * int(g**power)

    g = min(range((most + 1) // 2, most + 1), key=lambda g: (width(g), -g))
    return g, width(g) // g


def block_identity(n: int, g: int, m: int, order: np.ndarray | None = None) -> np.ndarray:
    """Returns blocks `(g, m, m)`, float32: the identity on `n` features, 0 on the padding.

    Args:
        n: Number of features.
        g: Number of groups.
        m: Features a group.
        order: `(g m,)` permutation: which feature stands at each place. Default: as they come.
    """
    real = np.arange(g * m) < n
    real = (real if order is None else real[order]).reshape(g, m)
    return np.eye(m, dtype="float32") * real[:, None, :]


def monarch_order(g: int, m: int) -> np.ndarray:
    """Returns the feature at each place of the second stage, `(g m,)`.

    `n / g^2` features of every group of the first stage make a group of the second.
    """
    return np.arange(g * m).reshape(g, g, m // g).swapaxes(0, 1).reshape(-1)


def split(X: Tensor, g: int, m: int) -> Tensor:
    """Splits rows `(k, n)` into groups `(g, m, k)`, padded with zeros.

    The features lead and the rows come last: so a whole row of memory moves where features are
    regrouped, and a matrix acts on a group from the left.
    """
    padding = g * m - X.shape[-1]
    X = ops.transpose(X)
    if padding:
        X = ops.pad(X, ((0, padding), (0, 0)))
    return ops.reshape(X, (g, m, -1))


def join(X: Tensor, n: int) -> Tensor:
    """Joins groups `(g, m, k)` into rows `(k, n)`, the inverse of `split`."""
    X = ops.reshape(X, (1, math.prod(X.shape[:2]), -1))
    if X.shape[1] > n:
        # Not `X[:, :n]`: TensorFlow takes several times as long for the gradient of that.
        X = ops.slice(X, (0, 0, 0), (1, n, ops.shape(X)[2]))
    # Not the transpose of a matrix: TensorFlow would fuse that into the next layer's product, which
    # with oneDNN takes 1.2 to 1.6 times as long for it, four times what the transpose alone does.
    return ops.reshape(ops.transpose(X, (2, 0, 1)), (-1, n))


def exchange(X: Tensor) -> Tensor:
    """Regroups `(g, m, k)`: each group gives an equal share to every new one. Its own inverse."""
    return ops.reshape(ops.transpose(_shares(X), (1, 0, 2, 3)), (*X.shape[:2], -1))


def _shares(X: Tensor) -> Tensor:
    g, m = X.shape[:2]
    return ops.reshape(X, (g, g, m // g, -1))
